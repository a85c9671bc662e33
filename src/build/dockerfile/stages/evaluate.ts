/** Evaluates one instruction after the other: variables are expanded, the image's config follows. */

import type { IgnoreMatcher } from "../../context/ignore.ts";
import type { Linter } from "../checks/linter.ts";
import { rules } from "../checks/rules.ts";
import { LineFault } from "../errors.ts";
import { ExpansionFault, type ExpansionOptions, expand } from "../expansion/expand.ts";
import type { Variables } from "../expansion/variables.ts";
import type { StageInstruction } from "../instructions.ts";
import type { Range } from "../source.ts";
import { suggestion } from "../suggest.ts";
import { quote } from "../text.ts";
import type { EscapeCharacter } from "../words.ts";
import { type GlobalArguments, isBuilderArgument } from "./arguments.ts";
import type { Environment } from "./environment.ts";
import * as config from "./evaluate-config.ts";
import { evaluateAdd, evaluateCopy } from "./evaluate-files.ts";
import { evaluateRun } from "./evaluate-run.ts";
import type { FilesFrom, Step } from "./model.ts";
import type { StageState } from "./state.ts";

/** What holds for all stages. */
export interface FileContext {
  readonly escapeCharacter: EscapeCharacter;
  readonly globals: GlobalArguments;
  readonly given: ReadonlyMap<string, string>;
  readonly ignore: IgnoreMatcher | undefined;
}

/** One instruction and where it is evaluated. */
export interface Evaluation extends FileContext {
  readonly state: StageState;
  readonly linter: Linter;
  readonly range: Range;
  readonly isTrigger: boolean;
  /** The variables as the instruction finds them. */
  readonly environment: Environment;
  readonly stageName: string;
  /**
   * What `--from` or a mount's `from` names, by its position among an instruction's mounts. Undefined for a stage
   * that comes later in the file.
   */
  readonly from: (position: number) => FilesFrom | undefined;
  /** Expands one word and reports variables that nothing defines. */
  readonly word: (word: string) => string;
}

export type EvaluationStart = Omit<Evaluation, "environment" | "word">;

/** @throws LineFault in BuildKit's words */
export function evaluate(instruction: StageInstruction, start: EvaluationStart): Step {
  const environment = start.state.variables.view();
  const evaluation: Evaluation = {
    ...start,
    environment,
    word: (word) => expandReporting(start, word, environment, { escapeCharacter: start.escapeCharacter }),
  };
  switch (instruction.kind) {
    case "run":
      return evaluateRun(instruction, evaluation);
    case "copy":
      return evaluateCopy(instruction, evaluation);
    case "add":
      return evaluateAdd(instruction, evaluation);
    case "workdir":
      return config.evaluateWorkdir(instruction, evaluation);
    case "env":
      return config.evaluateEnv(instruction, evaluation);
    case "arg":
      return config.evaluateArg(instruction, evaluation);
    case "label":
      return config.evaluateLabel(instruction, evaluation);
    case "cmd":
    case "entrypoint":
      return config.evaluateCommand(instruction, evaluation);
    case "expose":
      return config.evaluateExpose(instruction, evaluation);
    case "healthcheck":
      return config.evaluateHealthcheck(instruction, evaluation);
    case "maintainer":
      return config.evaluateMaintainer(instruction, evaluation);
    case "onbuild":
      return config.evaluateOnbuild(instruction, evaluation);
    case "shell":
      return config.evaluateShell(instruction, evaluation);
    case "stopsignal":
      return config.evaluateStopsignal(instruction, evaluation);
    case "user":
      return config.evaluateUser(instruction, evaluation);
    case "volume":
      return config.evaluateVolume(instruction, evaluation);
  }
}

/** Expands the text of a heredoc, in which quotes are nothing special. */
export function expandFile(text: string, evaluation: Evaluation): string {
  const options: ExpansionOptions = { escapeCharacter: "\\", ignoreQuotes: true };
  return expandReporting(evaluation, text, evaluation.environment, options);
}

type Reporter = Pick<Evaluation, "state" | "linter" | "range">;

/** Expands a word and reports the variables that are missing in it, also when something else is wrong with it. */
export function expandReporting(
  reporter: Reporter,
  word: string,
  environment: Environment,
  options: ExpansionOptions,
): string {
  try {
    const { text, unmatched } = expand(word, environment, options);
    reportMissing(reporter, unmatched, environment);
    return text;
  } catch (error) {
    if (error instanceof ExpansionFault) reportMissing(reporter, error.unmatched, environment);
    throw error;
  }
}

/** A variable that is not set, and that no ARG has declared, is most likely a mistake. */
function reportMissing(
  { state, linter, range }: Reporter,
  unmatched: ReadonlySet<string>,
  environment: Environment,
): void {
  if (unmatched.size === 0 || !linter.wants(rules.undefinedVar)) return;
  const declared = new Set(state.arguments.map(({ name }) => name));
  for (const name of unmatched) {
    if (declared.has(name) || isBuilderArgument(name)) continue;
    const match = suggestion(name, environment.names());
    const hint = match === undefined ? "" : ` (did you mean $${match}?)`;
    linter.report(rules.undefinedVar, range, `Usage of undefined variable '$${name}'${hint}`);
  }
}

/** The fields that every step has. */
export function stepCommon(
  instruction: StageInstruction,
  { range, isTrigger, environment }: Evaluation,
  title: string,
  createdBy: string,
): Pick<Step, "instruction" | "range" | "isTrigger" | "title" | "createdBy" | "environment"> {
  return { instruction, range, isTrigger, title, createdBy, environment };
}

/** The instruction's text with variables expanded, for people to read; as it is written when that fails. */
export function titleOf(text: string, options: ExpansionOptions, variables: Variables): string {
  const at = text.indexOf(" ");
  const upper = (title: string) => {
    const end = title.indexOf(" ");
    return end < 0 ? title.toUpperCase() : title.slice(0, end).toUpperCase() + title.slice(end);
  };
  if (at < 0) return text.toUpperCase();
  try {
    return upper(expand(text, variables, options).text);
  } catch (error) {
    if (error instanceof LineFault) return upper(text);
    throw error;
  }
}

/** `["a" "b"]`: Go's %q of a list. */
export function quotedList(words: readonly string[]): string {
  return `[${words.map(quote).join(" ")}]`;
}
