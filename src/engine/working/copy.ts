/** `copy` and `add`: files of this machine, of the net, of an image or of another container into a working container. */
import type { FilesOperation } from "../../build/graph/operations.ts";
import { Progress } from "../../build/solver/progress.ts";
import { type Fetched, fetchSources } from "../../build/steps/fetch.ts";
import { filesStep } from "../../build/steps/files.ts";
import { type FoundSource, findSources, keyOfSources } from "../../build/steps/sources.ts";
import { InvalidParameter, messageOf } from "../../core/errors.ts";
import { workingSnapshot } from "../../state/working-containers.ts";
import { unpacksAlone } from "../../storage/rebase.ts";
import { roomsOf } from "../local/build-rooms.ts";
import { type Local, timestamp } from "../local/local.ts";
import type { WorkingCopyRequest } from "../working.ts";
import { openSourceTree } from "./copy-from.ts";
import { destinationOf, fileSources } from "./copy-sources.ts";
import { type OpenWorking, openWorking } from "./open.ts";

/** @returns what stands for the content, hex; empty when nobody asked for it */
export async function copy(local: Local, reference: string, request: WorkingCopyRequest): Promise<string> {
  const signal = request.signal ?? new AbortController().signal;
  if (request.sources.length === 0) throw new InvalidParameter("src must be specified");
  // What is copied from may be the same container.
  const mode = request.from === undefined ? "either" : "shared";
  await using container = await openWorking(local, reference, { mode, signal });
  const { name } = container.record;
  try {
    return await copyInto(local, container, request, signal);
  } catch (error) {
    signal.throwIfAborted();
    const what = `adding content to container ${JSON.stringify(name)}: ${inBuildahsWords(error, request)}`;
    throw new InvalidParameter(what, { cause: error });
  }
}

/** What the builder says of files that are not there means nothing here. */
function inBuildahsWords(error: unknown, { contextDirectory = "/" }: WorkingCopyRequest): string {
  const message = messageOf(error);
  const [, path] = /failed to calculate checksum: (".*"): not found$/.exec(message) ?? [];
  if (path === undefined) return message;
  return `checking on sources under ${JSON.stringify(contextDirectory)}: copier: stat: ${path}: no such file or directory`;
}

async function copyInto(
  local: Local,
  container: OpenWorking,
  request: WorkingCopyRequest,
  signal: AbortSignal,
): Promise<string> {
  const isHashed = request.withoutDigest !== true || request.addHistory === true;
  await using source = await openSourceTree(local, request, { isHashed, signal });
  const operation = operationOf(container, request);
  using fetched = await fetch(local, operation, signal);
  const named = await findSources(source.tree, operation.sources, { exclude: [], signal });
  const sources = [...named, ...fetched.sources];
  if (sources.length === 0) throw new InvalidParameter(nothingFound(request));
  await place(local, container, forMany(operation, sources.length), sources, signal);
  const digest = isHashed ? keyOfSources(sources) : "";
  if (request.addHistory === true) note(container, request, sources, digest);
  return digest;
}

function nothingFound({ sources, contextDirectory = "/" }: WorkingCopyRequest): string {
  const paths = sources.map((source) => JSON.stringify(source)).join(" ");
  return `checking on sources under ${JSON.stringify(contextDirectory)}: copier: stat: [${paths}]: no such file or directory`;
}

/** More than one thing goes into a directory, also when a pattern has found them. */
function forMany(operation: FilesOperation, count: number): FilesOperation {
  const { destination } = operation;
  return count < 2 || destination.endsWith("/")
    ? operation
    : { ...operation, destination: `${destination}/` };
}

function fetch(local: Local, { sources }: FilesOperation, signal: AbortSignal): Promise<Fetched> {
  return fetchSources(sources, {
    rooms: roomsOf(local),
    vertex: new Progress(() => {}).vertex("fetch"),
    signal,
  });
}

/** What nobody else sees is written into the layer's own directory, which is quicker. */
async function place(
  local: Local,
  container: OpenWorking,
  operation: FilesOperation,
  sources: readonly FoundSource[],
  signal: AbortSignal,
): Promise<void> {
  const canWriteLater = container.isAlone && !container.isMounted && unpacksAlone(local.snapshots);
  const root = await container.root();
  const context = { fileTime: 0n, canWriteLater, searchPath: local.searchPath, signal };
  const { finish } = await filesStep(operation, root, sources, context);
  if (!canWriteLater) return;
  await container.unmount();
  await finish((await local.snapshots.layerTarget(workingSnapshot(container.id))).path);
}

function operationOf({ record }: OpenWorking, request: WorkingCopyRequest): FilesOperation {
  const sources = fileSources(request);
  return {
    kind: "files",
    digest: "",
    title: "",
    input: { kind: "scratch", digest: "", title: "" },
    ignoreCache: true,
    from: { kind: "scratch", digest: "", title: "" },
    sources,
    destination: destinationOf(request, record.config.config.WorkingDir ?? ""),
    chown: request.chown ?? "",
    chmod: request.chmod ?? "",
    parents: false,
    exclude: [],
    isLinked: false,
  };
}

/** As Buildah has it: not what was copied, but its digest. */
function note(
  container: OpenWorking,
  request: WorkingCopyRequest,
  sources: readonly FoundSource[],
  digest: string,
): void {
  const [first] = sources;
  const isDirectory = first?.kind === "scan" && first.isDirectory;
  const kind = sources.length > 1 ? "multi" : isDirectory ? "dir" : "file";
  const verb = request.unpack ? "ADD" : "COPY";
  const line = { created: timestamp(), created_by: `/bin/sh -c #(nop) ${verb} ${kind}:${digest}` };
  container.change((record) => ({ ...record, history: [...record.history, line] }));
}
