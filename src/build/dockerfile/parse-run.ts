/** RUN. */
import { csvFields } from "./csv.ts";
import { LineFault } from "./errors.ts";
import { type Flags, parseFlags } from "./flags.ts";
import type { Device, RunInstruction, WrittenMount } from "./instructions.ts";
import { mountFrom } from "./mounts.ts";
import { commandLine, commonOf } from "./parse-common.ts";
import type { Statement } from "./statements.ts";
import { withSuggestion } from "./suggest.ts";
import { parseBool, quote } from "./text.ts";
import type { Word } from "./words.ts";

const runFlags = { mount: "strings", network: "string", security: "string", device: "strings" } as const;
const networks = ["default", "none", "host"] as const;
const securities = ["sandbox", "insecure"] as const;

export function parseRun(statement: Statement): RunInstruction {
  const flags = parseFlags(statement.flags, runFlags);
  const common = { ...commonOf(statement), command: commandLine(statement) };
  // In the order in which BuildKit finds fault with them.
  const devices = flags.strings("device").map((word) => inFlag(word, () => parseDevice(word.text)));
  const mounts = flags.strings("mount").map((word) => inFlag(word, () => writtenMount(statement, word)));
  const network = choice(flags, "network", networks, (value) => `invalid network mode ${quote(value)}`);
  const security = choice(flags, "security", securities, (value) => `security ${quote(value)} is not valid`);
  return { kind: "run", ...common, mounts, network, security, devices };
}

function writtenMount({ line }: Statement, word: Word): WrittenMount {
  return { text: word.text, from: mountFrom(word.text), range: line.range(word.span) };
}

function choice<T extends string>(
  flags: Flags,
  name: string,
  values: readonly [T, ...T[]],
  fault: (value: string) => string,
): T {
  if (!flags.isGiven(name)) return values[0];
  const value = flags.string(name);
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw new LineFault(fault(value), flags.word(name)?.span);
  return found;
}

/** Gives a fault in a flag's value the place of the flag. */
function inFlag<T>(word: Word, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof LineFault && error.span === undefined) throw new LineFault(error.message, word.span);
    throw error;
  }
}

/** `vendor.com/class=device`, `name=…`, `required`. @throws LineFault */
function parseDevice(text: string): Device {
  let name = "";
  let required = false;
  for (const field of deviceFields(text)) {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    const value = at < 0 ? undefined : field.slice(at + 1);
    if (key === "required") {
      const given = value === undefined ? true : parseBool(value);
      if (given === undefined) throw new LineFault(`invalid value for ${key}: ${value}`);
      required = given;
    } else if (key === "name" && value !== undefined) {
      if (name !== "") throw new LineFault(`device name already set to ${name}`);
      name = value;
    } else if (name === "") name = field;
    else if (value === undefined) throw new LineFault(`invalid field '${field}' must be a key=value pair`);
    else {
      throw new LineFault(withSuggestion(`unexpected key '${key}' in '${field}'`, key, ["name", "required"]));
    }
  }
  return { name, required };
}

function deviceFields(text: string): string[] {
  try {
    return csvFields(text);
  } catch (error) {
    if (error instanceof LineFault) throw new LineFault(`failed to parse csv devices: ${error.message}`);
    throw error;
  }
}
