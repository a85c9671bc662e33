/** COPY and ADD, when their sources are found: what goes where. */
import { applyLayer } from "../../images/layers/apply.ts";
import { detectCompression } from "../../images/layers/compression.ts";
import { splitPath } from "../../images/layers/entry-name.ts";
import { removeTreeAt } from "../../linux/directories.ts";
import { changeMode, changeOwner, nodeType, readAt, setTimes, statusAt, writeAt } from "../../linux/nodes.ts";
import {
  closeFile,
  descriptorPath,
  openAt,
  openDirectory,
  openFlag,
  openResolved,
  resolve,
} from "../../linux/paths.ts";
import type { Scan } from "../context/scan.ts";
import { openInTree, pathBelow } from "../context/tree.ts";
import type { FilesOperation } from "../graph/operations.ts";
import { type CopyOptions, type CopyPart, copyPart, copyScan } from "./copy.ts";
import { StepFailure } from "./failure.ts";
import type { ModeChange } from "./modes.ts";
import { modeChange } from "./modes.ts";
import { type Owner, resolveOwner } from "./owners.ts";
import type { FoundSource } from "./sources.ts";
import { isDirectoryAt, TargetTree } from "./target.ts";

/**
 * Puts the sources into the mounted tree. What goes into directories that hold nothing else is left for `finish`,
 * which writes it into the layer's own directory when the tree is not mounted any more: that is quicker.
 */
export async function filesStep(
  operation: FilesOperation,
  root: string,
  sources: readonly FoundSource[],
  context: { readonly fileTime: bigint; readonly canWriteLater: boolean; readonly signal: AbortSignal },
): Promise<FilesDone> {
  const owner = resolveOwner(root, operation.chown);
  const mode = modeChange(operation.chmod);
  using target = new TargetTree(root, owner);
  const parts: LaterPart[] = [];
  // Of several sources the later ones may replace what the first ones bring.
  const canWriteLater = context.canWriteLater && sources.length === 1;
  const later = (part: CopyPart, directory: number) => {
    // Overlay keeps a directory that is changed in the layer; this one stays as it is.
    changeMode(directory, statusAt(directory, ".").mode & 0o7777);
    parts.push({ part, path: pathBelow(target.root, directory) });
  };
  const options = { owner, mode, signal: context.signal };
  const placing = new Placing(
    operation,
    target,
    canWriteLater ? { ...options, later } : options,
    context.fileTime,
  );
  checkDestination(operation, sources);
  for (const source of sources) await placing.put(source, sources.length > 1);
  return { newest: placing.newest, finish: (layer) => writeParts(parts, layer, options) };
}

export interface FilesDone {
  /** The newest time of what was copied; nanoseconds since 1970. */
  readonly newest: bigint;
  /** @param layer the directory that holds what the layer adds */
  readonly finish: (layer: string) => Promise<void>;
}

interface LaterPart {
  readonly part: CopyPart;
  /** From the tree's root, without links. */
  readonly path: string;
}

async function writeParts(parts: readonly LaterPart[], layer: string, options: CopyOptions): Promise<void> {
  if (parts.length === 0) return;
  const top = openDirectory(layer);
  try {
    for (const { part, path } of parts) {
      const directory = openInTree({ root: top }, path);
      try {
        await copyPart(part, directory, options);
      } finally {
        closeFile(directory);
      }
    }
  } finally {
    closeFile(top);
  }
}

/** @throws StepFailure in the classic builder's words */
function checkDestination({ destination, sources }: FilesOperation, found: readonly FoundSource[]): void {
  if (found.length <= 1 && sources.length <= 1) return;
  if (!/\/\.?$/.test(destination)) {
    throw new StepFailure(
      "When using COPY with more than one source file, the destination must be a directory and end with a /",
    );
  }
}

class Placing {
  newest = 0n;
  readonly #operation: FilesOperation;
  readonly #target: TargetTree;
  readonly #options: CopyOptions;
  readonly #fileTime: bigint;

  constructor(operation: FilesOperation, target: TargetTree, options: CopyOptions, fileTime: bigint) {
    this.#operation = operation;
    this.#target = target;
    this.#options = options;
    this.#fileTime = fileTime;
  }

  async put(source: FoundSource, isOneOfMany: boolean): Promise<void> {
    const { destination, parents } = this.#operation;
    const isIntoDirectory =
      isOneOfMany || /\/\.?$/.test(destination) || this.#target.isDirectory(destination);
    if (source.kind === "inline") {
      this.#inline(source, isIntoDirectory ? `${destination}/${source.name}` : destination);
      return;
    }
    const { scan, isDirectory } = source;
    if (source.unpack && !isDirectory && isArchive(scan)) {
      await this.#unpack(scan, destination);
      return;
    }
    if (isDirectory && !parents) {
      await this.#into(destination, ".", scan);
      return;
    }
    const path = isIntoDirectory || parents ? `${destination}/${source.name}` : destination;
    const { parent, base } = splitPath(path.replace(/\/+/g, "/").replace(/\/$/, "").replace(/^\//, ""));
    await this.#into(parent, base === "" ? "." : base, scan);
  }

  async #into(directory: string, name: string, scan: Scan): Promise<void> {
    const fd = this.#target.open(directory);
    try {
      this.#note(await copyScan(scan, fd, name, this.#options));
    } finally {
      closeFile(fd);
    }
  }

  #inline({ content }: { readonly content: string }, path: string): void {
    const { parent, base } = splitPath(path.replace(/\/+/g, "/").replace(/^\//, ""));
    const directory = this.#target.open(parent);
    try {
      if (isDirectoryAt(directory, base))
        throw new StepFailure(`cannot replace to directory /${path} with file`);
      removeTreeAt(directory, base);
      writeFileAt(directory, base, Buffer.from(content), { ...this.#options, time: this.#fileTime });
    } finally {
      closeFile(directory);
    }
  }

  /** A tar that lies in the context: its entries go below the destination. */
  async #unpack(scan: Scan, destination: string): Promise<void> {
    const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;
    const archive = openResolved(scan.tree.root, scan.base, openFlag.readOnly, how);
    const directory = this.#target.open(destination);
    try {
      const { signal } = this.#options;
      const layer = { path: descriptorPath(directory), whiteouts: "delete" as const };
      const before = statusAt(directory, ".");
      await applyLayer({ path: descriptorPath(archive) }, layer, { signal });
      // What the archive says of its own root is not meant for the destination.
      changeOwner(directory, before.uid, before.gid);
      changeMode(directory, before.mode & 0o7777);
      // Its own files' times are clamped to the archive's: nothing in it can be younger.
      this.#note(scan.nodes[0]?.status.mtime ?? 0n);
    } finally {
      closeFile(directory);
      closeFile(archive);
    }
  }

  #note(time: bigint): void {
    if (time > this.newest) this.newest = time;
  }
}

export function writeFileAt(
  directory: number,
  name: string,
  content: Uint8Array,
  about: { readonly owner: Owner | undefined; readonly mode: ModeChange | undefined; readonly time: bigint },
): void {
  const flags = openFlag.writeOnly | openFlag.create | openFlag.exclusive | openFlag.noFollow;
  const fd = openAt(directory, name, flags, 0o600);
  try {
    writeAt(fd, content, 0, name);
    changeOwner(fd, about.owner?.uid ?? 0, about.owner?.gid ?? 0);
    changeMode(fd, (about.mode?.(nodeType.file | 0o644) ?? 0o644) & 0o7777);
    setTimes(fd, about.time, about.time);
  } finally {
    closeFile(fd);
  }
}

const tarMagicAt = 257;

/** By its first bytes, as Docker tells: a tar, plain or compressed in a way that we read. */
function isArchive({ tree, base }: Scan): boolean {
  const how = resolve.beneath | resolve.noSymlinks | resolve.noMagicLinks;
  const fd = openResolved(tree.root, base, openFlag.readOnly | openFlag.nonBlocking, how);
  try {
    const start = new Uint8Array(512);
    const length = readAt(fd, start, 0, base);
    if (length >= 6 && detectCompression(start) !== "none") return true;
    return (
      length >= tarMagicAt + 5 &&
      Buffer.from(start.subarray(tarMagicAt, tarMagicAt + 5)).toString() === "ustar"
    );
  } finally {
    closeFile(fd);
  }
}
