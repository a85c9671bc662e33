/** How the findings of `build --check` are printed, in BuildKit's and buildx's form. */
import type { DockerfileError } from "../errors.ts";
import { excerpt } from "../excerpt.ts";
import type { Source } from "../source.ts";
import type { CheckWarning } from "./linter.ts";

/** Findings by line, as BuildKit sorts them. */
export function sorted(warnings: readonly CheckWarning[]): CheckWarning[] {
  return warnings.toSorted((a, b) => a.range.start.line - b.range.start.line);
}

/** `WARNING: Rule - url`, what is wrong, and the lines. */
export function formatWarnings(source: Source, warnings: readonly CheckWarning[]): string {
  return sorted(warnings)
    .map(({ rule, message, range }) => {
      const url = rule.url === "" ? "" : ` - ${rule.url}`;
      return `\nWARNING: ${rule.name}${url}\n${message}\n${excerpt(source, range)}`;
    })
    .join("");
}

/** The last line: how many there are. */
export function summary(warnings: readonly CheckWarning[]): string {
  if (warnings.length === 0) return "Check complete, no warnings found.";
  const count = warnings.length === 1 ? "1 warning has" : `${warnings.length} warnings have`;
  return `Check complete, ${count} been found!`;
}

/** An error among the findings: the message before the lines. */
export function formatError(error: DockerfileError): string {
  return `${error.message}\n${excerpt(error.source, error.lines, error.range)}`;
}

/** One finding in a line, as a build prints it: `Rule: message (line 3)`. */
export function shortForm({ rule, message, range }: CheckWarning): string {
  return `${rule.name}: ${message} (line ${range.start.line})`;
}
