/** Sources of ADD that are elsewhere: fetched into a directory of their own, and copied from there. */

import { messageOf } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import { SpaceWatch } from "../../images/layers/space.ts";
import { closeSync, openSync, writeSync } from "../../linux/files.ts";
import { setTimesAt } from "../../linux/nodes.ts";
import { atCurrentDirectory, closeFile, openDirectory } from "../../linux/paths.ts";
import { isDirectory } from "../../linux/walk.ts";
import { plainDigests } from "../context/digests.ts";
import { checkOut } from "../context/git.ts";
import { gitMaterial, type Material } from "../context/material.ts";
import { ownDirectory } from "../context/own-directory.ts";
import { scan } from "../context/scan.ts";
import { findInTree } from "../context/tree.ts";
import type { FileSource } from "../dockerfile/stages/model.ts";
import type { BuildRooms } from "../rooms.ts";
import type { Vertex } from "../solver/progress.ts";
import { StepFailure } from "./failure.ts";
import type { FoundSource } from "./sources.ts";

export interface FetchContext {
  readonly rooms: Pick<BuildRooms, "instance" | "searchPath">;
  readonly vertex: Vertex;
  readonly signal: AbortSignal;
}

export interface Fetched extends Disposable {
  readonly sources: readonly FoundSource[];
  /** What they were known by where they came from. */
  readonly materials: readonly Material[];
}

type UrlSource = Extract<FileSource, { kind: "url" }>;
type GitFileSource = Extract<FileSource, { kind: "git" }>;

/** @throws StepFailure when something is not there, or not what its checksum says */
export async function fetchSources(sources: readonly FileSource[], context: FetchContext): Promise<Fetched> {
  using stack = new DisposableStack();
  const found: FoundSource[] = [];
  const materials: Material[] = [];
  for (const source of sources) {
    if (source.kind !== "url" && source.kind !== "git") continue;
    const directory = stack.use(ownDirectory(context.rooms.instance.dataRoot)).path;
    const { base, material } =
      source.kind === "url"
        ? await fetchUrl(source, directory, context)
        : await fetchGit(source, directory, context);
    materials.push(material);
    const root = openDirectory(directory);
    stack.defer(() => closeFile(root));
    const tree = { root, ignore: undefined, belongsToRoot: true, digests: plainDigests };
    const node = findInTree(tree, base);
    const scanned = node === undefined ? undefined : await scan(tree, node.path, { signal: context.signal });
    if (node === undefined || scanned === undefined)
      throw new StepFailure(`${JSON.stringify(base)}: not found`);
    const unpack = source.kind === "url" && source.unpack;
    found.push({ kind: "scan", scan: scanned, name: base, isDirectory: isDirectory(node.status), unpack });
  }
  const kept = stack.move();
  return { sources: found, materials, [Symbol.dispose]: () => kept.dispose() };
}

interface FetchedSource {
  /** Where in the directory it is. */
  readonly base: string;
  readonly material: Material;
}

/** @returns the file's name in the directory. Mode 0600, and the time that the server gives it or 1970, as BuildKit. */
async function fetchUrl(source: UrlSource, directory: string, context: FetchContext): Promise<FetchedSource> {
  const { url, fileName, checksum } = source;
  const path = join(directory, fileName);
  let response: Response;
  try {
    response = await fetch(url, { signal: context.signal, redirect: "follow" });
  } catch (error) {
    context.signal.throwIfAborted();
    throw new StepFailure(`failed to load ${url}: ${messageOf(error)}`, 1, { cause: error });
  }
  if (!response.ok)
    throw new StepFailure(`failed to load ${url}: invalid response status ${response.status}`);
  const algorithm = checksum === "" ? "sha256" : (checksum.split(":", 1)[0] ?? "");
  const hasher = new Bun.CryptoHasher(digestAlgorithm(algorithm));
  const fd = openSync(path, "wx", 0o600);
  try {
    const space = new SpaceWatch(fd);
    if (response.body !== null) {
      for await (const chunk of response.body) {
        space.addBytes(chunk.byteLength, url);
        hasher.update(chunk);
        for (let done = 0; done < chunk.byteLength; ) done += writeSync(fd, chunk, done);
      }
    }
  } finally {
    closeSync(fd);
  }
  const hex = hasher.digest("hex");
  const actual = `${algorithm}:${hex}`;
  if (checksum !== "" && actual !== checksum) throw new StepFailure(`digest mismatch ${actual}: ${checksum}`);
  const given = Date.parse(response.headers.get("last-modified") ?? "");
  const time = Number.isFinite(given) && given > 0 ? BigInt(given) * 1_000_000n : 0n;
  setTimesAt(atCurrentDirectory, path, time, time);
  return { base: fileName, material: { uri: url, digest: { [algorithm]: hex } } };
}

function digestAlgorithm(name: string): "sha256" | "sha384" | "sha512" {
  if (name === "sha256" || name === "sha384" || name === "sha512") return name;
  throw new StepFailure(`unsupported digest algorithm: ${name}`);
}

/** @returns where in the directory its files are. All of them get the commit's time. */
async function fetchGit(
  source: GitFileSource,
  directory: string,
  context: FetchContext,
): Promise<FetchedSource> {
  const { searchPath } = context.rooms;
  const output = (text: Uint8Array) => context.vertex.log("stderr", text);
  const { commit } = await checkOut(source, directory, { searchPath, signal: context.signal, output });
  return {
    base: source.subdirectory === "" ? "/" : `/${source.subdirectory}`,
    material: gitMaterial(source, commit),
  };
}
