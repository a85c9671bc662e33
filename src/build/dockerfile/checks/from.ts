/** Checks of FROM: its arguments and its platform. */

import { DavitError } from "../../../core/errors.ts";
import type { Platform } from "../../../images/manifest.ts";
import { parsePlatform } from "../../../images/platform.ts";
import { tryParseReference } from "../../../images/references.ts";
import { LineFault } from "../errors.ts";
import { type Expansion, expand } from "../expansion/expand.ts";
import type { FromInstruction } from "../instructions.ts";
import type { WrittenStage } from "../parse.ts";
import { asVariables, type GlobalArguments } from "../stages/arguments.ts";
import { suggestion } from "../suggest.ts";
import { quote } from "../text.ts";
import type { EscapeCharacter } from "../words.ts";
import type { Linter } from "./linter.ts";
import { rules } from "./rules.ts";

/** Base names must be names also when no build argument is given. */
export function checkDefaults(
  stages: readonly WrittenStage[],
  defaults: GlobalArguments,
  escapeCharacter: EscapeCharacter,
  linter: Linter,
): void {
  for (const { from } of stages) {
    const name = expandOrNone(from.image.text, defaults, escapeCharacter);
    if (name === undefined) return;
    if (tryParseReference(name) !== undefined) continue;
    const message = `Default value for ARG ${from.image.text} results in empty or invalid base image name`;
    linter.report(rules.invalidDefaultArgInFrom, from.range, message);
  }
}

function expandOrNone(
  text: string,
  values: GlobalArguments,
  escapeCharacter: EscapeCharacter,
): string | undefined {
  try {
    return expand(text, asVariables(values), { escapeCharacter }).text;
  } catch (error) {
    if (error instanceof LineFault) return undefined;
    throw error;
  }
}

/** @param declared names that ARG declares, with a value or without */
export function checkUndefined(
  unmatched: ReadonlySet<string>,
  declared: ReadonlySet<string>,
  { range }: FromInstruction,
  linter: Linter,
): void {
  for (const name of unmatched) {
    if (declared.has(name)) continue;
    const match = suggestion(name, declared);
    const hint = match === undefined ? "" : ` (did you mean ${match}?)`;
    linter.report(rules.undefinedArgInFrom, range, `FROM argument '${name}' is not declared${hint}`);
  }
}

/** `--platform=$TARGETPLATFORM` says what holds anyway. */
export function checkRedundantPlatform(
  { platform, range }: FromInstruction,
  { text, matched, unmatched }: Expansion,
  globals: GlobalArguments,
  linter: Linter,
): void {
  const target = "TARGETPLATFORM";
  if (matched.size !== 1 || unmatched.size > 0 || !matched.has(target) || text !== globals.get(target))
    return;
  const message = `Setting platform to predefined ${platform} in FROM is redundant as this is the default behavior`;
  linter.report(rules.redundantTargetPlatform, range, message);
}

/** A constant platform makes a file for one platform only, which a stage's name should say. */
export function checkConstantPlatform(
  { stage = "", range }: FromInstruction,
  { text, matched, unmatched }: Expansion,
  linter: Linter,
): void {
  if (matched.size > 0 || unmatched.size > 0) return;
  const platform = platformOrNone(text);
  if (platform === undefined) return;
  if (stage.includes(platform.os) || stage.includes(platform.architecture)) return;
  const message = `FROM --platform flag should not use constant value ${quote(text)}`;
  linter.report(rules.fromPlatformFlagConstDisallowed, range, message);
}

function platformOrNone(text: string): Platform | undefined {
  try {
    return parsePlatform(text);
  } catch (error) {
    if (error instanceof DavitError) return undefined;
    throw error;
  }
}
