/** The checks that need nothing but the file itself. */
import type { FromInstruction, Instruction } from "../instructions.ts";
import type { Dockerfile, WrittenStage } from "../parse.ts";
import type { Statement } from "../statements.ts";
import { quote } from "../text.ts";
import type { Linter } from "./linter.ts";
import { rules } from "./rules.ts";

/** Before the instruction is parsed, so that they are found in a file with an error behind them. */
export function checkStatement(statement: Statement, base: Linter): void {
  const kind = statement.keyword.text.toLowerCase();
  const linter = base.withComments(statement.comments);
  if (kind === "maintainer") {
    const message = "Maintainer instruction is deprecated in favor of using label";
    linter.report(rules.maintainerDeprecated, statement.range, message);
  }
  if (kind !== "from") return;
  const [, as, stage] = statement.args;
  const isNamed = statement.args.length === 3;
  if (isNamed && stage !== undefined && stage.text !== stage.text.toLowerCase()) {
    const message = `Stage name '${stage.text}' should be lowercase`;
    linter.report(rules.stageNameCasing, statement.range, message);
  }
  if (statement.args.length >= 3 && as !== undefined && !sameCase(statement.keyword.text, as.text)) {
    const message = `'${as.text}' and '${statement.keyword.text}' keywords' casing do not match`;
    linter.report(rules.fromAsCasing, statement.range, message);
  }
}

function sameCase(from: string, as: string): boolean {
  if (from === from.toLowerCase()) return as === as.toLowerCase();
  // A FROM of mixed case is another check's matter.
  return from !== from.toUpperCase() || as === as.toUpperCase();
}

/** The description in the comment above a stage or an argument begins with its name. */
export function checkDescription(instruction: Instruction, base: Linter): void {
  if (instruction.kind !== "arg" && instruction.kind !== "from") return;
  const names =
    instruction.kind === "arg" ? instruction.definitions.map(({ name }) => name) : stageName(instruction);
  const [first] = names;
  const comment = instruction.comments.at(-1);
  if (comment === undefined || first === undefined || names.includes(comment.split(" ", 1)[0] ?? "")) return;
  const example = names.length > 1 ? "<arg_key>" : first;
  const keyword = instruction.kind.toUpperCase();
  base
    .withComments(instruction.comments)
    .report(
      rules.invalidDefinitionDescription,
      instruction.range,
      `Comment for ${keyword} should follow the format: \`# ${example} <description>\``,
    );
}

function stageName({ stage }: FromInstruction): string[] {
  return stage === undefined ? [] : [stage];
}

/** Checks of the whole file: names of stages and the casing of keywords. */
export function checkFile({ stages }: Dockerfile, linter: Linter): void {
  checkStageNames(stages, linter);
  checkCasing(stages, linter);
}

const reserved = ["context", "scratch"];

function checkStageNames(stages: readonly WrittenStage[], linter: Linter): void {
  const seen = new Set<string>();
  for (const { from } of stages) {
    const { stage: name, range } = from;
    if (name === undefined) continue;
    if (reserved.includes(name)) {
      const message = `Stage name should not use the same name as reserved stage ${quote(name)}`;
      linter.report(rules.reservedStageName, range, message);
    }
    if (seen.has(name)) {
      const message = `Duplicate stage name ${quote(name)}, stage names should be unique`;
      linter.report(rules.duplicateStageName, range, message);
    }
    seen.add(name);
  }
}

function checkCasing(stages: readonly WrittenStage[], linter: Linter): void {
  const all = stages.flatMap(({ from, instructions }) => [from, ...instructions]);
  const lower = all.filter(({ keyword }) => keyword === keyword.toLowerCase()).length;
  const upper = all.filter(
    ({ keyword }) => keyword === keyword.toUpperCase() && keyword !== keyword.toLowerCase(),
  ).length;
  const casing = lower > upper ? "lowercase" : "uppercase";
  for (const { keyword, range } of all) {
    const expected = casing === "lowercase" ? keyword.toLowerCase() : keyword.toUpperCase();
    if (keyword === expected) continue;
    const message = `Command '${keyword}' should match the case of the command majority (${casing})`;
    linter.report(rules.consistentInstructionCasing, range, message);
  }
}
