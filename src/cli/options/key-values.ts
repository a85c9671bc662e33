/** `KEY=VALUE` options: environment, labels, maps, and the files that hold them. */
import { FileFailure, readTextFile } from "../files.ts";
import { BadValue } from "../flags/values.ts";
import type { Io } from "../io.ts";

/** Bytes that a file of variables or labels may have. */
const longestFile = 16 * 1024 * 1024;

/** `-e`: NAME=VALUE, or NAME for the caller's own. @throws BadValue */
export function checkEnvironment(text: string): string {
  if (text === "" || text.startsWith("=")) throw new BadValue(`invalid environment variable: ${text}`);
  return text;
}

/** `--label`: NAME or NAME=VALUE. @throws BadValue */
export function checkLabel(text: string): string {
  if (text.split("=", 1)[0] === "") throw new BadValue(`invalid label '${text}': empty name`);
  return text;
}

/**
 * The container's variables: first those of the files, then those given one by one. A name without a value takes
 * the caller's own; one that the caller has not set either unsets the image's.
 */
export function environment(io: Io, files: readonly string[], variables: readonly string[]): string[] {
  const all: string[] = [];
  for (const file of files) all.push(...readVariables(io, file, true));
  const given = variables.map((variable) => {
    const own = variable.includes("=") ? undefined : io.env[variable];
    return own === undefined ? variable : `${variable}=${own}`;
  });
  all.push(...given);
  return all;
}

/** Labels of the files, then those given one by one. */
export function labels(io: Io, files: readonly string[], given: readonly string[]): Record<string, string> {
  return toMap([...files.flatMap((file) => readVariables(io, file, false)), ...given]);
}

/** Lines of NAME=VALUE; `#` begins a comment line. A name alone is the caller's own variable, or left out. */
function readVariables(io: Io, file: string, mayTakeOwn: boolean): string[] {
  const text = readTextFile(io, file, longestFile).replace(/^\uFEFF/, "");
  const variables: string[] = [];
  text.split(/\r?\n/).forEach((raw) => {
    const line = raw.replace(/^\s+/, "");
    if (line === "" || line.startsWith("#")) return;
    const equals = line.indexOf("=");
    const name = equals < 0 ? line : line.slice(0, equals);
    if (name === "")
      throw new FileFailure(
        `invalid ${mayTakeOwn ? "env" : "label"} file (${file}): no variable name on line '${line}'`,
      );
    if (/[ \t]/.test(name)) {
      throw new FileFailure(
        `invalid ${mayTakeOwn ? "env" : "label"} file (${file}): variable '${name}' contains whitespaces`,
      );
    }
    if (equals >= 0) variables.push(line);
    else if (mayTakeOwn && io.env[name] !== undefined) variables.push(`${name}=${io.env[name]}`);
  });
  return variables;
}

/** The last of the same name counts; a name alone has the empty value. */
export function toMap(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => splitPair(pair)));
}

/** At the first `=`; without one the value is empty. */
export function splitPair(pair: string): [name: string, value: string] {
  const equals = pair.indexOf("=");
  return equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
}

/** The API's way to say "nothing given" for most lists. */
export function listOrNull<Item>(list: Item[]): Item[] | null {
  return list.length === 0 ? null : list;
}

/** One CSV record (RFC 4180), as Go's encoding/csv reads it. @throws BadValue */
export function splitCsv(text: string): string[] {
  const fields: string[] = [];
  let rest = text;
  for (;;) {
    if (rest.startsWith('"')) {
      const quoted = /^"((?:[^"]|"")*)"(,|$)/.exec(rest);
      if (quoted === null) {
        // Go points at the quote in the wrong place, or at the end where one is missing.
        const stray = /^"(?:[^"]|"")*"/.exec(rest)?.[0].length;
        const column = stray === undefined ? text.length + 1 : text.length - rest.length + stray;
        throw new BadValue(
          `parse error on line 1, column ${column}: extraneous or missing " in quoted-field`,
        );
      }
      fields.push((quoted[1] ?? "").replaceAll('""', '"'));
      if (quoted[2] === "") return fields;
      rest = rest.slice(quoted[0].length);
      continue;
    }
    const comma = rest.indexOf(",");
    const field = comma < 0 ? rest : rest.slice(0, comma);
    if (field.includes('"')) {
      const column = text.length - rest.length + field.indexOf('"') + 1;
      throw new BadValue(`parse error on line 1, column ${column}: bare " in non-quoted-field`);
    }
    fields.push(field);
    if (comma < 0) return fields;
    rest = rest.slice(comma + 1);
  }
}
