/** `--output`, `--push` and `--load`: what is made of the result. */

import { resolve } from "../../core/paths.ts";
import type { BuildOutput } from "../../engine/build.ts";
import { closeSync, openSync, renameSync, rmSync, writeSync } from "../../linux/files.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { formKeys, readForm, readTruth } from "./forms.ts";
import { fieldsOf, typeOf } from "./inputs.ts";

export interface Outputs {
  readonly outputs: readonly BuildOutput[];
  /** Names that the outputs give. */
  readonly names: readonly string[];
  /** Puts files in their place; after a failure, removes what was written. */
  finish(isDone: boolean): void;
}

/** @throws CommandError */
export function readOutputs(io: Io, given: readonly string[], flags: { push: boolean }): Outputs {
  const files: OutputFile[] = [];
  const names: string[] = [];
  let outputs: BuildOutput[];
  try {
    outputs = given.flatMap((text) => readOutput(io, text, files, names) ?? []);
  } catch (error) {
    for (const file of files) file.close(false);
    throw error;
  }
  if (given.length === 0) outputs.push({ kind: "store" });
  if (flags.push) {
    // As buildx: of an image that is made anyway it says what is to be done with it.
    const stored = outputs.findIndex(({ kind }) => kind === "store");
    const of = outputs[stored];
    outputs.splice(stored < 0 ? outputs.length : stored, 1, { ...of, kind: "push" });
  }
  return {
    outputs,
    names,
    finish: (isDone) => {
      for (const file of files) file.close(isDone);
    },
  };
}

/** @returns undefined for what only fills the cache */
function readOutput(io: Io, text: string, files: OutputFile[], names: string[]): BuildOutput | undefined {
  // A path alone is a directory, and a dash a tar on stdout.
  if (!text.includes("=")) {
    return text === "-"
      ? { kind: "tar", write: standardOutput(io) }
      : { kind: "local", directory: resolve(io.cwd, text) };
  }
  const type = typeOf(text);
  const known = keysOf.get(type);
  if (known === undefined) {
    const problem = `output type ${JSON.stringify(type)} is not supported by davit`;
    throw new CommandError(`ERROR: ${type === "" ? "type is required for output" : problem}`);
  }
  const fields = fieldsOf(text, `type=${type} output`, ["type", ...known]);
  const destination = fields.get("dest");
  for (const name of (fields.get("name") ?? "").split(",")) if (name !== "") names.push(name);
  const write = () => {
    if (destination === undefined || destination === "-") return standardOutput(io);
    const file = new OutputFile(resolve(io.cwd, destination));
    files.push(file);
    return async (bytes: Uint8Array) => file.write(bytes);
  };
  switch (type) {
    case "image":
    case "registry":
      return imageOutput(fields, type);
    case "local":
      if (destination === undefined) throw new CommandError("ERROR: dest is required for local output");
      return {
        kind: "local",
        directory: resolve(io.cwd, destination),
        ...filesOf(fields),
        ...(mirrors(fields) ? { deletesOthers: true } : {}),
      };
    case "tar":
      return { kind: "tar", write: write(), ...filesOf(fields) };
    case "cacheonly":
      return undefined;
    default:
      return archiveOutput(io, fields, type === "oci" ? "oci" : "docker", write);
  }
}

/** `type=image` and `type=registry`, which is the same with `push=true`. */
function imageOutput(fields: ReadonlyMap<string, string>, type: "image" | "registry"): BuildOutput {
  const form = readForm(fields, undefined);
  const isPushed = readTruth(fields, "push") ?? type === "registry";
  const isStored = readTruth(fields, "store") ?? true;
  // Whatever is stored can be run here at once.
  if (readTruth(fields, "unpack") === false) {
    throw new CommandError("ERROR: unpack=false is not supported by davit: use store=false");
  }
  const formed = form === undefined ? {} : { form };
  if (!isPushed && !isStored) throw new CommandError("ERROR: an image that is neither stored nor pushed");
  if (!isPushed) return { kind: "store", ...formed };
  return { kind: "push", ...formed, ...(isStored ? {} : { isOnlyPushed: true }) };
}

function archiveOutput(
  io: Io,
  fields: ReadonlyMap<string, string>,
  format: "oci" | "docker",
  write: () => (bytes: Uint8Array) => Promise<void>,
): BuildOutput {
  const destination = fields.get("dest");
  // Without a destination docker's own store is meant, which is ours.
  if (format === "docker" && destination === undefined) {
    const form = readForm(fields, undefined);
    return { kind: "store", ...(form === undefined ? {} : { form }) };
  }
  const form = readForm(fields, "gzip") ?? {};
  if (readTruth(fields, "tar") !== false) return { kind: "archive", format, form, write: write() };
  if (format === "docker") throw new CommandError("ERROR: tar=false is for type=oci");
  if (destination === undefined || destination === "-") {
    throw new CommandError("ERROR: dest is required for oci output with tar=false");
  }
  return { kind: "layout", directory: resolve(io.cwd, destination), form };
}

function filesOf(fields: ReadonlyMap<string, string>): { isSplit?: boolean; attestationPrefix?: string } {
  const isSplit = readTruth(fields, "platform-split");
  const prefix = fields.get("attestation-prefix");
  return {
    ...(isSplit === undefined ? {} : { isSplit }),
    ...(prefix === undefined ? {} : { attestationPrefix: prefix }),
  };
}

/** `mode=delete`; `copy` is the default. */
function mirrors(fields: ReadonlyMap<string, string>): boolean {
  const mode = fields.get("mode") ?? "copy";
  if (mode === "delete") return true;
  if (mode === "copy" || mode === "") return false;
  throw new CommandError(`ERROR: invalid local exporter mode ${JSON.stringify(mode)}`);
}

/** What each type of output takes. */
const keysOf = new Map<string, readonly string[]>([
  ["image", ["name", "push", "store", "unpack", ...formKeys]],
  ["registry", ["name", "push", "store", "unpack", ...formKeys]],
  ["oci", ["name", "dest", "tar", ...formKeys]],
  ["docker", ["name", "dest", "tar", ...formKeys]],
  ["local", ["dest", "platform-split", "attestation-prefix", "mode"]],
  ["tar", ["dest", "platform-split", "attestation-prefix"]],
  ["cacheonly", []],
]);

function standardOutput(io: Io): (bytes: Uint8Array) => Promise<void> {
  if (io.stdout.isTerminal)
    throw new CommandError("ERROR: dest file is required: refusing to write to a terminal");
  return (bytes) => io.stdout.write(bytes);
}

/** Written aside, and put in its place when it is whole. */
class OutputFile {
  readonly #path: string;
  readonly #aside: string;
  readonly #fd: number;

  constructor(path: string) {
    this.#path = path;
    this.#aside = `${path}.${process.pid}.part`;
    this.#fd = openSync(this.#aside, "w", 0o644);
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength; ) done += writeSync(this.#fd, bytes, done);
  }

  close(isDone: boolean): void {
    closeSync(this.#fd);
    if (isDone) renameSync(this.#aside, this.#path);
    else rmSync(this.#aside, { force: true });
  }
}
