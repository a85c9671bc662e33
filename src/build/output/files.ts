/** A result's files without an image: into a directory, or as a tar. */

import type { LocalMember } from "../../images/layers/tar-writer.ts";
import { treesTar } from "../../images/layers/tree.ts";
import { removeTreeAt } from "../../linux/directories.ts";
import { mkdirSync } from "../../linux/files.ts";
import { setTimes, statusAt, tryStatusAt, writeAt } from "../../linux/nodes.ts";
import { closeFile, openAt, openDirectory, openFlag } from "../../linux/paths.ts";
import type { StatementFile } from "../attestations/files.ts";
import type { FileDigests } from "../context/digests.ts";
import { plainDigests } from "../context/digests.ts";
import { scan } from "../context/scan.ts";
import type { BuildRooms } from "../rooms.ts";
import { copyScan } from "../steps/copy.ts";
import { mountAside } from "../steps/layer.ts";
import type { Root } from "../steps/root.ts";

/** What was built for one platform. */
export interface FilePart {
  readonly root: Root;
  /** `linux/arm64` */
  readonly platform: string;
  /** Below which its files go; empty for the top. */
  readonly directory: string;
  /** Files at its top besides those of the root, which is mounted then, and in the place of those with their names. */
  readonly besides: (root: string) => Promise<readonly StatementFile[]>;
}

/** A part whose files can be seen. */
export interface MountedPart {
  readonly path: string;
  readonly platform: string;
  readonly directory: string;
  readonly besides: readonly StatementFile[];
}

export interface DirectoryOptions {
  readonly directory: string;
  /** What is there already and is not of the result goes; otherwise it stays. */
  readonly deletesOthers: boolean;
  /** Tells that a part is copied now. @returns tells that it was */
  readonly copying: (below: string) => () => void;
  readonly signal: AbortSignal;
}

/** Copying needs no digests. */
const noDigests: FileDigests = { ...plainDigests, digest: () => "" };

const ownOnly = 0o600;

/** `--output type=local`. @throws InvalidParameter for files of two parts in one place */
export async function exportDirectory(
  rooms: BuildRooms,
  parts: readonly FilePart[],
  { directory, deletesOthers, copying, signal }: DirectoryOptions,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const mounted = await mountAll(rooms, parts, stack);
  mkdirSync(directory, { recursive: true });
  if (deletesOthers) {
    const { removeOthers } = await import("./mirror.ts");
    removeOthers(rooms.instance, directory, mounted);
  }
  for (const part of mounted) {
    const copied = copying(part.directory);
    const target = `${directory}/${part.directory}`;
    mkdirSync(target, { recursive: true });
    await copyTree(part, target, signal);
    copied();
  }
}

async function copyTree({ path, besides }: MountedPart, directory: string, signal: AbortSignal) {
  const from = openDirectory(path);
  try {
    const to = openDirectory(directory);
    try {
      const tree = { root: from, ignore: undefined, belongsToRoot: false, digests: noDigests };
      const found = await scan(tree, "", { signal });
      if (found !== undefined) await copyScan(found, to, ".", { owner: undefined, mode: undefined, signal });
      writeBesides(to, besides);
    } finally {
      closeFile(to);
    }
  } finally {
    closeFile(from);
  }
}

function writeBesides(directory: number, files: readonly StatementFile[]): void {
  const { mtime } = statusAt(directory, "");
  for (const file of files) {
    if (tryStatusAt(directory, file.name) !== undefined) removeTreeAt(directory, file.name);
    const flags = openFlag.writeOnly | openFlag.create | openFlag.exclusive | openFlag.noFollow;
    const fd = openAt(directory, file.name, flags, ownOnly);
    try {
      writeAt(fd, file.content, 0, file.name);
      setTimes(fd, file.mtime, file.mtime);
    } finally {
      closeFile(fd);
    }
  }
  if (files.length > 0) setTimes(directory, mtime, mtime);
}

/** `--output type=tar`. @throws InvalidParameter for files of two parts in one place */
export async function exportTar(
  rooms: BuildRooms,
  parts: readonly FilePart[],
  write: (bytes: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const mounted = await mountAll(rooms, parts, stack);
  const trees = mounted.map(({ path, directory, besides }) => ({
    root: path,
    directory,
    besides: besides.map(memberOf),
  }));
  for await (const chunk of treesTar(trees, { signal })) await write(chunk);
}

function memberOf({ name, content, mtime }: StatementFile): LocalMember {
  const entry = { name, type: "file" as const, mode: ownOnly, size: content.byteLength, mtime };
  return { entry, content: [content] };
}

async function mountAll(
  rooms: BuildRooms,
  parts: readonly FilePart[],
  stack: AsyncDisposableStack,
): Promise<MountedPart[]> {
  const mounted: MountedPart[] = [];
  for (const { root, platform, directory, besides } of parts) {
    const { path } = stack.use(await mountAside(rooms, root));
    mounted.push({ path, platform, directory, besides: await besides(path) });
  }
  if (mounted.filter(({ directory }) => directory === "").length > 1) {
    const { checkApart } = await import("./mirror.ts");
    checkApart(mounted);
  }
  return mounted;
}
