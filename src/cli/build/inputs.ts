/** What of a build the command line names by words: contexts, Dockerfiles, secrets, agents. */

import { hasErrno } from "../../core/errors.ts";
import { basename, join, resolve } from "../../core/paths.ts";
import type {
  BuildContext,
  BuildSecret,
  BuildSsh,
  DockerfileSource,
  NamedContext,
} from "../../engine/build.ts";
import { existsSync, readFileSync, statSync } from "../../linux/files.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { splitCsv, splitPair } from "../options/key-values.ts";

const gitUrl = /^(?:git:\/\/|github\.com\/|git@|https?:\/\/[^#?]+\.git(?:[#?]|$)|ssh:\/\/)/;
/** Of a secret, as BuildKit has it; bytes. */
const largestSecret = 500 * 1024;

export interface Inputs {
  readonly context: BuildContext;
  readonly dockerfile: DockerfileSource;
}

/** `PATH`, `URL` or `-`, with what `--file` says. @throws CommandError */
export async function readInputs(io: Io, place: string, file: string): Promise<Inputs> {
  if (place === "-") {
    if (file === "-") throw new CommandError("ERROR: can't use stdin for both build context and dockerfile");
    return fromStandardInput(io, file);
  }
  if (file === "-") {
    const text = Buffer.concat(await Array.fromAsync(io.stdin.chunks())).toString("utf8");
    return { context: contextOf(io, place), dockerfile: { kind: "text", name: "Dockerfile", text } };
  }
  const context = contextOf(io, place);
  if (context.kind === "git" || file === "") {
    return { context, dockerfile: { kind: "in-context", path: file || "Dockerfile" } };
  }
  return { context, dockerfile: dockerfileOf(io, place, file) };
}

/** As docker: beside us, or else in the context. */
function dockerfileOf(io: Io, place: string, file: string): DockerfileSource {
  const here = resolve(io.cwd, file);
  const inContext = join(resolve(io.cwd, place), file);
  if (!existsSync(here) && existsSync(inContext)) return { kind: "in-context", path: file };
  return { kind: "file", path: here };
}

function contextOf(io: Io, place: string): BuildContext {
  const path = resolve(io.cwd, place);
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) {
      throw new CommandError(`ERROR: unable to prepare context: context must be a directory: ${path}`);
    }
    return { kind: "directory", path };
  }
  if (gitUrl.test(place)) return { kind: "git", url: place };
  throw new CommandError(`ERROR: unable to prepare context: path ${JSON.stringify(place)} not found`);
}

/** A tar, or a Dockerfile without a context: its first bytes tell. */
async function fromStandardInput(io: Io, file: string): Promise<Inputs> {
  const chunks = io.stdin.chunks()[Symbol.asyncIterator]();
  const read: Uint8Array[] = [];
  for (let length = 0; length < 512; ) {
    const next = await chunks.next();
    if (next.done === true) break;
    read.push(next.value);
    length += next.value.byteLength;
  }
  const start = Buffer.concat(read);
  if (isArchive(start)) {
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield start;
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
    }
    return {
      context: { kind: "tar", stream: stream() },
      dockerfile: { kind: "in-context", path: file || "Dockerfile" },
    };
  }
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) read.push(next.value);
  const text = Buffer.concat(read).toString("utf8");
  return { context: { kind: "empty" }, dockerfile: { kind: "text", name: "Dockerfile", text } };
}

const magics = [
  [0x1f, 0x8b],
  [0x28, 0xb5, 0x2f, 0xfd],
  [0x42, 0x5a, 0x68],
  [0xfd, 0x37, 0x7a, 0x58, 0x5a],
];

function isArchive(start: Buffer): boolean {
  return (
    start.subarray(257, 262).toString("latin1") === "ustar" ||
    magics.some((magic) => magic.every((byte, at) => start[at] === byte))
  );
}

/** `name=path`, `name=docker-image://reference`, `name=URL`. @throws CommandError */
export function namedContexts(io: Io, given: readonly string[]): Record<string, NamedContext> {
  return Object.fromEntries(
    given.map((text): [string, NamedContext] => {
      const [name, value] = splitPair(text);
      if (name === "" || value === "") {
        throw new CommandError(`ERROR: invalid context value: ${text}, expected key=value`);
      }
      return [name, namedContext(io, value)];
    }),
  );
}

function namedContext(io: Io, value: string): NamedContext {
  const image = /^docker-image:\/\/(.+)$/.exec(value)?.[1];
  if (image !== undefined) return { kind: "image", reference: image };
  if (/^(?:oci-layout|target):/.test(value)) {
    throw new CommandError(`ERROR: build context ${value} is not supported yet by davit`);
  }
  if (gitUrl.test(value) && !existsSync(resolve(io.cwd, value))) return { kind: "git", url: value };
  const path = resolve(io.cwd, value);
  if (!existsSync(path))
    throw new CommandError(`ERROR: failed to get build context ${value}: path not found`);
  return { kind: "directory", path };
}

/** `id=…,src=path`, `id=…,env=NAME`; a file or a variable of the same name where neither is given. */
export function readSecret(io: Io, text: string): BuildSecret {
  const fields = fieldsOf(text, "secret", ["type", "id", "src", "source", "env"]);
  const id =
    fields.get("id") ?? basename(fields.get("src") ?? fields.get("source") ?? fields.get("env") ?? "");
  const source = fields.get("src") ?? fields.get("source");
  const type = fields.get("type") ?? "";
  if (!["", "file", "env"].includes(type))
    throw new CommandError(`ERROR: unsupported secret type ${JSON.stringify(type)}`);
  const variable = fields.get("env") ?? (type === "env" ? (source ?? id) : undefined);
  if (variable !== undefined) return { id, content: Buffer.from(io.env[variable] ?? "") };
  if (source === undefined && type === "" && io.env[id] !== undefined) {
    return { id, content: Buffer.from(io.env[id] ?? "") };
  }
  return { id, content: readSecretFile(resolve(io.cwd, source ?? id)) };
}

function readSecretFile(path: string): Uint8Array {
  try {
    const { size } = statSync(path);
    if (size > largestSecret) throw new CommandError(`ERROR: invalid secret size ${size}`);
    return readFileSync(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) {
      throw new CommandError(`ERROR: failed to stat ${path}: stat ${path}: no such file or directory`);
    }
    throw error;
  }
}

/** Of a key, as BuildKit has it; bytes. */
const largestKey = 100 * 1024;

/** `default`, `id`, `id=socket`, `id=key,key`. @throws CommandError */
export function readSsh(io: Io, text: string): BuildSsh {
  const [name, value] = splitPair(text);
  const id = name || "default";
  const given = value || io.env.SSH_AUTH_SOCK || "";
  if (given === "") {
    throw new CommandError("ERROR: invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set");
  }
  const paths = given.split(",").map((path) => resolve(io.cwd, path));
  const sockets = paths.filter((path) => statusOfKey(path).isSocket());
  const [socket] = sockets;
  if (socket === undefined) return { id, keys: paths.map(readKey) };
  if (paths.length === 1) return { id, socket };
  throw new CommandError("ERROR: invalid combination of keys and sockets, or of several sockets");
}

function statusOfKey(path: string) {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) throw new CommandError(`ERROR: stat ${path}: no such file or directory`);
  return status;
}

function readKey(path: string): { name: string; content: Uint8Array } {
  const status = statusOfKey(path);
  if (!status.isFile()) throw new CommandError(`ERROR: ${path} is neither an agent's socket nor a key`);
  if (status.size > largestKey) throw new CommandError(`ERROR: ${path} is too large for a key`);
  return { name: path, content: readFileSync(path) };
}

/** What `type=` of such a text says; empty where it says nothing. It decides which other keys there are. */
export function typeOf(text: string): string {
  return /(?:^|,)"?type=([^,"]*)/i.exec(text)?.[1] ?? "";
}

/** `key=value` in CSV. @throws CommandError */
export function fieldsOf(text: string, what: string, known: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const field of splitCsv(text)) {
    const at = field.indexOf("=");
    if (at < 0)
      throw new CommandError(`ERROR: invalid field ${JSON.stringify(field)} must be a key=value pair`);
    const key = field.slice(0, at).toLowerCase();
    if (!known.includes(key)) {
      throw new CommandError(
        `ERROR: unexpected key ${JSON.stringify(key)} in ${JSON.stringify(field)} of a ${what}`,
      );
    }
    fields.set(key, field.slice(at + 1));
  }
  return fields;
}
