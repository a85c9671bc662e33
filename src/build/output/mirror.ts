/** What is in the way of a result that goes out as files. */
import { InvalidParameter } from "../../core/errors.ts";
import type { Instance } from "../../core/instance.ts";
import { removeTreeAt } from "../../linux/directories.ts";
import { pathStatus, statusAt } from "../../linux/nodes.ts";
import { closeFile, openAt, openDirectory, openFlag } from "../../linux/paths.ts";
import { isDirectory, statusBeneath, walkTree } from "../../linux/walk.ts";
import type { MountedPart } from "./files.ts";

/**
 * Removes from a directory what is not in the parts, and what is a directory in one place and something else in the
 * other.
 * @throws InvalidParameter, before anything is removed, for a directory that holds the instance itself
 */
export function removeOthers(instance: Instance, directory: string, parts: readonly MountedPart[]): void {
  for (const root of [instance.dataRoot, instance.execRoot]) {
    if (!holds(directory, root)) continue;
    throw new InvalidParameter(`mode=delete of ${directory} would remove what davit keeps in ${root}`);
  }
  using roots = new OpenParts(parts);
  let isKept = true;
  for (const node of walkTree(directory, { isEntered: () => isKept })) {
    isKept = roots.kindOf(node.path) === kindOf(isDirectory(node.status));
    if (!isKept) removeTreeAt(node.directory, node.name);
  }
}

/** Whether a directory is another one, or above it. */
function holds(directory: string, inner: string): boolean {
  const { device, inode } = pathStatus(`${directory}/.`);
  let fd = openDirectory(inner);
  try {
    for (;;) {
      const here = statusAt(fd, "");
      if (here.device === device && here.inode === inode) return true;
      const above = openAt(fd, "..", openFlag.path | openFlag.directory);
      closeFile(fd);
      fd = above;
      const next = statusAt(fd, "");
      if (next.device === here.device && next.inode === here.inode) return false;
    }
  } finally {
    closeFile(fd);
  }
}

/** @throws InvalidParameter in BuildKit's words when parts that go to one place have a file of one name */
export function checkApart(parts: readonly MountedPart[]): void {
  const owners = new Map<string, string>();
  const claim = (path: string, platform: string) => {
    const owner = owners.get(path);
    if (owner !== undefined) {
      throw new InvalidParameter(
        `cannot overwrite ${path} from ${owner} with ${platform} when split option is disabled`,
      );
    }
    owners.set(path, platform);
  };
  for (const { path: root, platform, besides } of parts) {
    const names = new Set(besides.map(({ name }) => name));
    for (const name of names) claim(name, platform);
    for (const { path, status } of walkTree(root)) {
      if (!isDirectory(status) && !names.has(path)) claim(path, platform);
    }
  }
}

type Kind = "directory" | "other";

function kindOf(isDirectory: boolean): Kind {
  return isDirectory ? "directory" : "other";
}

class OpenParts implements Disposable {
  readonly #parts: (MountedPart & { readonly fd: number })[] = [];

  constructor(parts: readonly MountedPart[]) {
    for (const part of parts) this.#parts.push({ ...part, fd: openDirectory(part.path) });
  }

  /** What a path of the output leads to; undefined for nothing. */
  kindOf(path: string): Kind | undefined {
    for (const part of this.#parts) {
      const found = kindIn(part, path);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#parts.splice(0)) closeFile(fd);
  }
}

function kindIn({ fd, directory, besides }: MountedPart & { fd: number }, path: string): Kind | undefined {
  if (directory !== "" && path === directory) return "directory";
  const isBelow = directory === "" || path.startsWith(`${directory}/`);
  if (!isBelow) return undefined;
  const inner = directory === "" ? path : path.slice(directory.length + 1);
  if (besides.some(({ name }) => name === inner)) return "other";
  const status = statusBeneath(fd, inner);
  return status === undefined ? undefined : kindOf(isDirectory(status));
}
