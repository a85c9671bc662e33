/** The second pass: statements become typed instructions, and these stages. */

import type { Directive } from "./directives.ts";
import { DockerfileError, LineFault } from "./errors.ts";
import type { ArgInstruction, FromInstruction, Instruction, StageInstruction } from "./instructions.ts";
import * as config from "./parse-config.ts";
import { parseAdd, parseCopy } from "./parse-files.ts";
import { parseRun } from "./parse-run.ts";
import { Source } from "./source.ts";
import {
  type EmptyContinuation,
  instructionKinds,
  isInstructionKind,
  readStatements,
  type Statement,
} from "./statements.ts";
import { withSuggestion } from "./suggest.ts";
import type { EscapeCharacter } from "./words.ts";

/** A FROM and the instructions up to the next. */
export interface WrittenStage {
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
}

/** A Dockerfile as it is written: nothing is expanded or looked up. */
export interface Dockerfile {
  readonly source: Source;
  readonly escapeCharacter: EscapeCharacter;
  readonly directives: readonly Directive[];
  /** ARG instructions before the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  readonly stages: readonly WrittenStage[];
  readonly emptyContinuations: readonly EmptyContinuation[];
}

export interface ParseOptions {
  /** Called with each instruction as soon as it is read, in order. */
  onInstruction?: (instruction: Instruction) => void;
  /** Called with each statement before it is read as an instruction, in order. */
  onStatement?: (statement: Statement) => void;
  /** Called when the first pass is done. */
  onEmptyContinuation?: (found: EmptyContinuation) => void;
}

/**
 * Parses a Dockerfile.
 * @param name what messages call the file
 * @throws DockerfileError in BuildKit's words, with the place
 */
export function parseDockerfile(text: string, name = "Dockerfile", options: ParseOptions = {}): Dockerfile {
  const source = new Source(name, text);
  if (text === "") {
    throw new DockerfileError("the Dockerfile cannot be empty", source, source.linesRange(1, 1));
  }
  const { escapeCharacter, directives, statements, emptyContinuations } = readStatements(source);
  for (const found of emptyContinuations) options.onEmptyContinuation?.(found);
  const globalArgs: ArgInstruction[] = [];
  const stages: { from: FromInstruction; instructions: StageInstruction[] }[] = [];
  for (const statement of statements) {
    options.onStatement?.(statement);
    const instruction = readInstruction(source, statement);
    options.onInstruction?.(instruction);
    if (instruction.kind === "from") {
      stages.push({ from: instruction, instructions: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.kind === "arg") globalArgs.push(instruction);
    else {
      const message = "no build stage in current context";
      throw new DockerfileError(message, source, instruction.range, instruction.keywordRange);
    }
  }
  if (stages.length === 0) {
    const message = "dockerfile contains no stages to build";
    throw new DockerfileError(message, source, source.linesRange(1, 1));
  }
  return { source, escapeCharacter, directives, globalArgs, stages, emptyContinuations };
}

/**
 * Parses the one instruction that an image's ONBUILD holds.
 * @throws DockerfileError
 */
export function parseTrigger(text: string): Exclude<StageInstruction, { kind: "onbuild" }> {
  const source = new Source("ONBUILD", text);
  const { statements } = readStatements(source);
  const [statement] = statements;
  const everything = source.linesRange(1, source.lineCount);
  if (statement === undefined || statements.length !== 1) {
    throw new DockerfileError("onbuild trigger should be a single expression", source, everything);
  }
  const instruction = readInstruction(source, statement);
  if (instruction.kind === "from" || instruction.kind === "onbuild") {
    throw new DockerfileError(
      `${instruction.kind.toUpperCase()} isn't allowed as an ONBUILD trigger`,
      source,
      everything,
    );
  }
  return instruction;
}

function readInstruction(source: Source, statement: Statement): Instruction {
  try {
    return parseInstruction(statement);
  } catch (error) {
    if (!(error instanceof LineFault)) throw error;
    const message = `dockerfile parse error on line ${statement.range.start.line}: ${error.message}`;
    const point = statement.line.range(error.span ?? statement.keyword.span);
    throw new DockerfileError(message, source, statement.range, point);
  }
}

function parseInstruction(statement: Statement): Instruction {
  const { keyword } = statement;
  const kind = keyword.text.toLowerCase();
  if (!isInstructionKind(kind)) {
    const names = instructionKinds.map((name) => name.toUpperCase());
    const message = `unknown instruction: ${keyword.text}`;
    throw new LineFault(withSuggestion(message, keyword.text, names, false), keyword.span);
  }
  switch (kind) {
    case "add":
      return parseAdd(statement);
    case "arg":
      return config.parseArg(statement);
    case "cmd":
      return config.parseCmd(statement);
    case "copy":
      return parseCopy(statement);
    case "entrypoint":
      return config.parseEntrypoint(statement);
    case "env":
      return config.parseEnv(statement);
    case "expose":
      return config.parseExpose(statement);
    case "from":
      return config.parseFrom(statement);
    case "healthcheck":
      return config.parseHealthcheck(statement);
    case "label":
      return config.parseLabel(statement);
    case "maintainer":
      return config.parseMaintainer(statement);
    case "onbuild":
      return config.parseOnbuild(statement);
    case "run":
      return parseRun(statement);
    case "shell":
      return config.parseShell(statement);
    case "stopsignal":
      return config.parseStopsignal(statement);
    case "user":
      return config.parseUser(statement);
    case "volume":
      return config.parseVolume(statement);
    case "workdir":
      return config.parseWorkdir(statement);
  }
}
