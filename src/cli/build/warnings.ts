/** How the findings of the checks are printed, in BuildKit's and buildx's form. */
import type { BuildWarning } from "../../engine/build.ts";

/** Behind a build: a line each, `Rule: message (line 3)`. Empty for none. */
export function formatBriefly(warnings: readonly BuildWarning[]): string {
  if (warnings.length === 0) return "";
  const count = `${warnings.length} warning${warnings.length === 1 ? "" : "s"} found`;
  const lines = warnings.map((warning) => ` - ${briefly(warning)}\n`);
  return `\n ${count} (use --check to expand):\n${lines.join("")}`;
}

/** `Rule: message (line 3)` */
export function briefly({ rule, message, line }: BuildWarning): string {
  return `${rule === "" ? "" : `${rule}: `}${message}${line === undefined ? "" : ` (line ${line})`}`;
}

/** What `--check` prints: how many there are, then each. */
export function formatReport(warnings: readonly BuildWarning[]): string {
  if (warnings.length === 0) return "Check complete, no warnings found.\n";
  const count = warnings.length === 1 ? "1 warning has" : `${warnings.length} warnings have`;
  return `Check complete, ${count} been found!\n${formatInFull(warnings)}`;
}

/** `WARNING: Rule - url`, what is wrong, and the lines; sorted by line, as BuildKit does. */
export function formatInFull(warnings: readonly BuildWarning[]): string {
  return warnings
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0))
    .map(({ rule, url, message, excerpt }) => {
      const link = url === undefined || url === "" ? "" : ` - ${url}`;
      return `\nWARNING: ${rule}${link}\n${message}\n${excerpt ?? ""}`;
    })
    .join("");
}
