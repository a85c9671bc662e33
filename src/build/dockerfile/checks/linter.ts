/** Runs build checks: which rules are on, and what they found. */
import { type Directive, DirectiveReader } from "../directives.ts";
import { LineFault } from "../errors.ts";
import type { Range } from "../source.ts";
import { parseBool, quote, trimSpace } from "../text.ts";
import type { Rule } from "./rules.ts";

export interface CheckOptions {
  readonly skipAll: boolean;
  readonly skip: readonly string[];
  readonly experimentalAll: boolean;
  readonly experimental: readonly string[];
  /** A finding fails the build. */
  readonly error: boolean;
}

export const defaultCheckOptions: CheckOptions = {
  skipAll: false,
  skip: [],
  experimentalAll: false,
  experimental: [],
  error: false,
};

/** One finding. */
export interface CheckWarning {
  readonly rule: Rule;
  readonly message: string;
  readonly range: Range;
}

/**
 * Reads `skip=Rule,Rule;error=true;experimental=all`.
 * @throws LineFault
 */
export function parseCheckOptions(text: string): CheckOptions {
  const options = { ...defaultCheckOptions };
  if (trimSpace(text) === "") return options;
  for (const part of splitAtMost(trimSpace(text), ";", 3)) {
    const at = part.indexOf("=");
    if (at < 0) throw new LineFault(`invalid check option ${quote(part)}`);
    const key = trimSpace(part.slice(0, at));
    const value = trimSpace(part.slice(at + 1));
    const names = value.split(",").map(trimSpace);
    if (key === "skip") {
      if (value === "all") options.skipAll = true;
      else options.skip = names;
    } else if (key === "experimental") {
      if (value === "all") options.experimentalAll = true;
      else options.experimental = names;
    } else if (key === "error") {
      const error = parseBool(value);
      if (error === undefined) {
        const cause = `strconv.ParseBool: parsing ${quote(value)}: invalid syntax`;
        throw new LineFault(`failed to parse check option ${quote(part)}: ${cause}`);
      }
      options.error = error;
    } else throw new LineFault(`invalid check option ${quote(key)}`);
  }
  return options;
}

function splitAtMost(text: string, separator: string, most: number): string[] {
  const parts = text.split(separator);
  return parts.length <= most ? parts : [...parts.slice(0, most - 1), parts.slice(most - 1).join(separator)];
}

/** Nobody reads more of them. */
const mostFindings = 1000;

/** What was found so far; shared by the linters of one file. */
interface Findings {
  readonly warnings: CheckWarning[];
}

export class Linter {
  readonly #options: CheckOptions;
  readonly #findings: Findings;

  constructor(options: CheckOptions = defaultCheckOptions, findings: Findings = { warnings: [] }) {
    this.#options = options;
    this.#findings = findings;
  }

  get warnings(): readonly CheckWarning[] {
    return this.#findings.warnings;
  }

  report(rule: Rule, range: Range, message: string): void {
    if (this.wants(rule)) this.#findings.warnings.push({ rule, message, range });
  }

  /** Whether a finding of a rule would be kept. */
  wants(rule: Rule): boolean {
    if (this.#findings.warnings.length >= mostFindings) return false;
    const { skipAll, skip, experimentalAll, experimental } = this.#options;
    if (rule.experimental) return experimentalAll || experimental.includes(rule.name);
    return !skipAll && !skip.includes(rule.name);
  }

  /** With what a `# check=…` among the comments above an instruction adds, for that instruction. */
  withComments(comments: readonly string[]): Linter {
    const directive = comments.map(readComment).find((found) => found?.name === "check");
    if (directive === undefined) return this;
    let added: CheckOptions;
    try {
      added = parseCheckOptions(directive.value.split(" ", 1)[0] ?? "");
    } catch (error) {
      // A comment that looks like one but is none changes nothing.
      if (error instanceof LineFault) return this;
      throw error;
    }
    const own = this.#options;
    const merged: CheckOptions = {
      skipAll: own.skipAll || added.skipAll,
      skip: [...own.skip, ...added.skip],
      experimentalAll: own.experimentalAll || added.experimentalAll,
      experimental: [...own.experimental, ...added.experimental],
      error: own.error,
    };
    return new Linter(merged, this.#findings);
  }

  /** What a build fails with when `error=true` is given and something was found. */
  failure(): string | undefined {
    if (!this.#options.error || this.warnings.length === 0) return undefined;
    const names = new Set(this.warnings.map(({ rule }) => rule.name));
    return `lint violation found for rules: ${[...names].join(", ")}`;
  }
}

function readComment(comment: string): Directive | undefined {
  return new DirectiveReader("").read(comment);
}
