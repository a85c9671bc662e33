/** The tree that `copy` takes its sources from. */
import { type FileDigests, plainDigests } from "../../build/context/digests.ts";
import { IgnoreMatcher, parseIgnoreFile } from "../../build/context/ignore.ts";
import type { FileTree } from "../../build/context/tree.ts";
import { mountAside } from "../../build/steps/layer.ts";
import { InvalidParameter, messageOf, NotFound } from "../../core/errors.ts";
import { closeFile, openDirectory } from "../../linux/paths.ts";
import { roomsOf } from "../local/build-rooms.ts";
import type { Local } from "../local/local.ts";
import type { WorkingCopyRequest } from "../working.ts";
import { obtainBase } from "./base-image.ts";
import { holdImage } from "./held-image.ts";
import { openWorking } from "./open.ts";

/** Copying needs no digests. */
const noDigests: FileDigests = { ...plainDigests, digest: () => "" };

export interface SourceTree extends AsyncDisposable {
  readonly tree: FileTree;
}

/** @throws NotFound for a container or image that is not known; LinuxError for a directory that is not there */
export async function openSourceTree(
  local: Local,
  request: WorkingCopyRequest,
  options: { readonly isHashed: boolean; readonly signal: AbortSignal },
): Promise<SourceTree> {
  await using held = new AsyncDisposableStack();
  const path =
    request.from === undefined
      ? (request.contextDirectory ?? "/")
      : await openOther(local, request.from, request, held, options.signal);
  const root = openDirectory(path);
  held.defer(() => closeFile(root));
  const patterns = parseIgnoreFile((request.ignore ?? []).join("\n"));
  const tree: FileTree = {
    root,
    ignore: patterns.length === 0 ? undefined : new IgnoreMatcher(patterns),
    // As in Buildah, wherever they come from.
    belongsToRoot: true,
    digests: options.isHashed ? plainDigests : noDigests,
  };
  const kept = held.move();
  return { tree, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** Of a container what is in it now; else of an image, which is pulled when it is not here. */
async function openOther(
  local: Local,
  from: string,
  request: WorkingCopyRequest,
  held: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<string> {
  try {
    // Shared: it may be the very container that is copied into.
    const other = held.use(await openWorking(local, from, { mode: "shared", signal }));
    return await other.root();
  } catch (error) {
    if (!(error instanceof NotFound)) throw error;
  }
  try {
    const name = await obtainBase(local, { ...request, image: from, pull: "missing", signal });
    const image = held.use(await holdImage(local, name, signal));
    return held.use(await mountAside(roomsOf(local), image.root)).path;
  } catch (error) {
    signal.throwIfAborted();
    throw new InvalidParameter(
      `no container named ${JSON.stringify(from)}, error copying content from image ${JSON.stringify(from)}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
