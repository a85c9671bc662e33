/** COPY and ADD, when their sources are found: what goes where. */
import { applyLayer } from "../../images/layers/apply.ts";
import { removeTreeAt } from "../../linux/directories.ts";
import { changeMode, changeOwner, nodeType, setTimes, statusAt, writeAt } from "../../linux/nodes.ts";
import {
  closeFile,
  descriptorPath,
  openAt,
  openDirectory,
  openFlag,
  openResolved,
  resolve,
} from "../../linux/paths.ts";
import type { EarlierFiles } from "../cache/earlier.ts";
import type { Scan } from "../context/scan.ts";
import { openInTree, pathBelow } from "../context/tree.ts";
import type { FilesOperation } from "../graph/operations.ts";
import { type ArchiveOptions, isArchive } from "./archive.ts";
import { type CopyOptions, type CopyPart, copyPart, copyScan, type PartOptions } from "./copy.ts";
import { StepFailure } from "./failure.ts";
import type { Filled } from "./layer.ts";
import { filesOfPart } from "./linking.ts";
import { type ModeChange, modeChange } from "./modes.ts";
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
  context: FilesContext,
): Promise<FilesDone> {
  const owner = resolveOwner(root, operation.chown);
  const mode = modeChange(operation.chmod);
  using target = new TargetTree(root, owner, directoryMode(operation.chmod));
  const parts: LaterPart[] = [];
  // Of several sources the later ones may replace what the first ones bring.
  const canWriteLater = context.canWriteLater && sources.length === 1;
  const later = (part: CopyPart, directory: number) => {
    // Overlay keeps a directory that is changed in the layer; this one stays as it is.
    changeMode(directory, statusAt(directory, ".").mode & 0o7777);
    parts.push({ part, path: pathBelow(target.root, directory) });
  };
  const options = { owner, mode, signal: context.signal };
  const placing = new Placing(operation, target, canWriteLater ? { ...options, later } : options, context);
  for (const source of sources) await placing.put(source);
  return {
    newest: placing.newest,
    finish: (layer, latest) => writeParts(parts, layer, { ...options, latest, earlier: context.earlier }),
    copied: () => copiedIn(parts),
  };
}

export interface FilesContext extends ArchiveOptions {
  readonly fileTime: bigint;
  readonly canWriteLater: boolean;
  /** What the last copy of the same files has left. */
  readonly earlier?: EarlierFiles | undefined;
}

/** Of directories that have to be made on the way: only octal modes are given to them, as in BuildKit. */
function directoryMode(chmod: string): number | undefined {
  return /^[0-7]+$/.test(chmod) ? Number.parseInt(chmod, 8) & 0o777 : undefined;
}

export interface FilesDone {
  /** The newest time of what was copied; nanoseconds since 1970. */
  readonly newest: bigint;
  /** @param layer the directory that holds what the layer adds. @param latest what later times of files become */
  readonly finish: (layer: string, latest?: bigint) => Promise<Filled>;
  /** Files that `finish` has put into the layer, and that a later copy may take from there: paths and digests. */
  readonly copied: () => Iterable<readonly [path: string, digest: string]>;
}

interface LaterPart {
  readonly part: CopyPart;
  /** From the tree's root, without links. */
  readonly path: string;
}

async function writeParts(parts: readonly LaterPart[], layer: string, options: PartOptions): Promise<Filled> {
  const directories = new Set<string>();
  let bytes = 0;
  if (parts.length === 0) return { directories, bytes };
  const top = openDirectory(layer);
  try {
    for (const { part, path } of parts) {
      const directory = openInTree({ root: top }, path);
      try {
        bytes += await copyPart(part, { directory, path }, options);
        directories.add(path);
      } finally {
        closeFile(directory);
      }
    }
  } finally {
    closeFile(top);
  }
  return { directories, bytes };
}

function* copiedIn(parts: readonly LaterPart[]): Generator<readonly [path: string, digest: string]> {
  for (const { part, path } of parts) yield* filesOfPart(part, path);
}

/** A name in an open directory, which whoever gets it closes. */
interface Place {
  readonly directory: number;
  readonly base: string;
}

class Placing {
  newest = 0n;
  readonly #operation: FilesOperation;
  readonly #target: TargetTree;
  readonly #options: CopyOptions;
  readonly #fileTime: bigint;
  readonly #archives: ArchiveOptions;

  constructor(
    operation: FilesOperation,
    target: TargetTree,
    options: CopyOptions,
    context: ArchiveOptions & { readonly fileTime: bigint },
  ) {
    this.#operation = operation;
    this.#target = target;
    this.#options = options;
    this.#fileTime = context.fileTime;
    this.#archives = { searchPath: context.searchPath, signal: context.signal };
  }

  async put(source: FoundSource): Promise<void> {
    const { destination } = this.#operation;
    if (
      source.kind === "scan" &&
      source.unpack &&
      !source.isDirectory &&
      (await isArchive(source.scan, this.#archives))
    ) {
      await this.#unpack(source.scan, destination);
      return;
    }
    if (source.kind === "scan" && source.isDirectory) {
      const directory = this.#target.open(destination);
      await this.#into({ directory, base: "." }, source.scan);
      return;
    }
    const isIntoDirectory = /\/\.?$/.test(destination) || this.#target.isDirectory(destination);
    const place = isIntoDirectory
      ? { directory: this.#target.open(destination), base: source.name }
      : this.#target.openParent(destination);
    if (source.kind === "inline") this.#inline(source.content, place);
    else await this.#into(place, source.scan);
  }

  async #into({ directory, base }: Place, scan: Scan): Promise<void> {
    try {
      this.#note(await copyScan(scan, directory, base, this.#options));
    } finally {
      closeFile(directory);
    }
  }

  #inline(content: string, { directory, base }: Place): void {
    try {
      if (isDirectoryAt(directory, base))
        throw new StepFailure(`cannot replace to directory ${base} with file`);
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
    const directory = this.#target.open(destination, 0o755);
    try {
      const { owner } = this.#options;
      const layer = { path: descriptorPath(directory), whiteouts: "delete" as const };
      const before = statusAt(directory, ".");
      const { newest } = await applyLayer({ path: descriptorPath(archive) }, layer, {
        ...this.#archives,
        ...(owner === undefined ? {} : { owner }),
      });
      // What the archive says of its own root is not meant for the destination.
      changeOwner(directory, before.uid, before.gid);
      changeMode(directory, before.mode & 0o7777);
      this.#note(newest);
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
