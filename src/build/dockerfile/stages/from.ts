/** What FROM names, with the file's global arguments put in. */
import { messageOf } from "../../../core/errors.ts";
import type { Platform } from "../../../images/manifest.ts";
import { parsePlatform } from "../../../images/platform.ts";
import { checkConstantPlatform, checkRedundantPlatform, checkUndefined } from "../checks/from.ts";
import type { Linter } from "../checks/linter.ts";
import { LineFault } from "../errors.ts";
import { type Expansion, ExpansionFault, expand } from "../expansion/expand.ts";
import type { FromInstruction } from "../instructions.ts";
import { suggestion } from "../suggest.ts";
import type { EscapeCharacter } from "../words.ts";
import { asVariables, type GlobalArguments } from "./arguments.ts";

export interface FromContext {
  readonly globals: GlobalArguments;
  /** All names of global arguments, also of those without a value. */
  readonly declared: ReadonlySet<string>;
  readonly escapeCharacter: EscapeCharacter;
  readonly linter: Linter;
}

/** An image, a stage or `scratch`. @throws LineFault */
export function baseNameOf(from: FromInstruction, context: FromContext): string {
  const expansion = expandIn(from.image.text, from, context);
  if (expansion.text !== "") return expansion.text;
  throw new LineFault(`base name (${from.image.text}) should not be blank`);
}

/** Of `--platform`, when it is given. @throws LineFault */
export function platformOf(from: FromInstruction, context: FromContext): Platform | undefined {
  const { platform: written } = from;
  if (written === "") return undefined;
  const { globals, linter } = context;
  const expansion = expandPlatform(from, context);
  checkRedundantPlatform(from, expansion, globals, linter);
  checkConstantPlatform(from, expansion, linter);
  if (expansion.text === "") {
    throw suggesting(`empty platform value from expression ${written}`, expansion, globals);
  }
  try {
    return parsePlatform(expansion.text);
  } catch (error) {
    throw suggesting(`failed to parse platform ${written}: ${messageOf(error)}`, expansion, globals);
  }
}

function expandPlatform(from: FromInstruction, context: FromContext): Expansion {
  try {
    return expandIn(from.platform, from, context);
  } catch (error) {
    if (!(error instanceof LineFault)) throw error;
    // The gap is BuildKit's: the platform is not known yet.
    throw new LineFault(`failed to process arguments for platform : ${error.message}`);
  }
}

/** Expands and reports what is missing, also when something else is wrong. */
function expandIn(text: string, from: FromInstruction, context: FromContext): Expansion {
  const { globals, declared, escapeCharacter, linter } = context;
  try {
    const expansion = expand(text, asVariables(globals), { escapeCharacter });
    checkUndefined(expansion.unmatched, declared, from, linter);
    return expansion;
  } catch (error) {
    if (error instanceof ExpansionFault) checkUndefined(error.unmatched, declared, from, linter);
    throw error;
  }
}

/** A variable that is not set was probably meant to be one that is. */
function suggesting(message: string, { unmatched }: Expansion, globals: GlobalArguments): LineFault {
  const near = [...unmatched].map((name) => suggestion(name, globals.keys())).find(Boolean);
  return new LineFault(near === undefined ? message : `${message} (did you mean ${near}?)`);
}
