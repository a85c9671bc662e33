/** `--output`, `--push` and `--load`: what is made of the result. */
import { closeSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import type { BuildOutput } from "../../engine/build.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { fieldsOf } from "./inputs.ts";

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
  const outputs = given.map((text) => readOutput(io, text, files, names));
  if (outputs.length === 0) outputs.push({ kind: "store" });
  if (flags.push) outputs.push({ kind: "push" });
  return {
    outputs,
    names,
    finish: (isDone) => {
      for (const file of files) file.close(isDone);
    },
  };
}

function readOutput(io: Io, text: string, files: OutputFile[], names: string[]): BuildOutput {
  // A path alone is a directory, and a dash a tar on stdout.
  if (!text.includes("=")) {
    return text === "-"
      ? { kind: "tar", write: standardOutput(io) }
      : { kind: "local", directory: resolve(io.cwd, text) };
  }
  const fields = fieldsOf(text, "output", ["type", "dest", "name", "push", "tar"]);
  const type = fields.get("type") ?? "";
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
      return fields.get("push") === "true" ? { kind: "push" } : { kind: "store" };
    case "registry":
      return { kind: "push" };
    case "local":
      if (destination === undefined) throw new CommandError("ERROR: dest is required for local output");
      return { kind: "local", directory: resolve(io.cwd, destination) };
    case "tar":
      return { kind: "tar", write: write() };
    case "oci":
      return { kind: "archive", format: "oci", write: write() };
    case "docker":
      // Without a destination docker's own store is meant, which is ours.
      if (destination === undefined) return { kind: "store" };
      return { kind: "archive", format: "docker", write: write() };
    case "":
      throw new CommandError("ERROR: type is required for output");
    default:
      throw new CommandError(`ERROR: output type ${JSON.stringify(type)} is not supported by davit`);
  }
}

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
