/** A result's files without an image: into a directory, or as a tar. */

import { treesTar } from "../../images/layers/tree.ts";
import { mkdirSync } from "../../linux/files.ts";
import { closeFile, openDirectory } from "../../linux/paths.ts";
import type { FileDigests } from "../context/digests.ts";
import { plainDigests } from "../context/digests.ts";
import { scan } from "../context/scan.ts";
import type { BuildRooms } from "../rooms.ts";
import { copyScan } from "../steps/copy.ts";
import { mountAside } from "../steps/layer.ts";
import type { Root } from "../steps/root.ts";

/** Copying needs no digests. */
const noDigests: FileDigests = { ...plainDigests, digest: () => "" };

/** `--output type=local`: what is there already and is not of the result stays. */
export async function exportDirectory(
  rooms: BuildRooms,
  root: Root,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  await using aside = await mountAside(rooms, root);
  mkdirSync(directory, { recursive: true });
  const from = openDirectory(aside.path);
  try {
    const to = openDirectory(directory);
    try {
      const tree = { root: from, ignore: undefined, belongsToRoot: false, digests: noDigests };
      const found = await scan(tree, "", { signal });
      if (found !== undefined) await copyScan(found, to, ".", { owner: undefined, mode: undefined, signal });
    } finally {
      closeFile(to);
    }
  } finally {
    closeFile(from);
  }
}

/** `--output type=tar`: each root below its directory, or at the top where that is empty. */
export async function exportTar(
  rooms: BuildRooms,
  parts: readonly { readonly root: Root; readonly directory: string }[],
  write: (bytes: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await using mounted = new AsyncDisposableStack();
  const trees: { root: string; directory: string }[] = [];
  for (const { root, directory } of parts) {
    trees.push({ root: mounted.use(await mountAside(rooms, root)).path, directory });
  }
  for await (const chunk of treesTar(trees, { signal })) await write(chunk);
}
