/**
 * Fills an empty volume from the image's directory that it covers: content, ownership and mode, as Docker does at
 * a volume's first use.
 */

import { hasErrno } from "../core/errors.ts";
import { join } from "../core/paths.ts";
import { readDirectory, removeTree } from "../linux/directories.ts";
import { renameSync, rmdirSync } from "../linux/files.ts";
import { changeMode, changeOwner, makeDirectoryAt, setTimes, statusAt } from "../linux/nodes.ts";
import {
  atCurrentDirectory,
  descriptorPath,
  OpenFile,
  openAt,
  openDirectory,
  openFlag,
  openInRoot,
} from "../linux/paths.ts";
import { renameAt } from "../linux/rename.ts";
import { getXattr, listXattrs, setXattr } from "../linux/xattrs.ts";
import { copyTree } from "../storage/copy-tree.ts";

/**
 * Tells, without a lock, whether a volume must be looked at: it is empty and to be filled, or was being filled when
 * something died.
 */
export function needsFilling(directory: string, content: string, asked: boolean): boolean {
  return (asked && isEmpty(content)) || exists(join(directory, "_fill"));
}

/**
 * Fills the plain volume in `directory` (which holds `_data`), if it is empty. A crash leaves it empty or is
 * finished by the next call: the copy is made beside it and moved in when it is whole.
 */
export async function fillVolume(directory: string, rootfs: string, destination: string): Promise<void> {
  const data = join(directory, "_data");
  const whole = join(directory, "_fill");
  const partial = join(directory, "_fill.partial");
  if (!exists(whole)) {
    if (!isEmpty(data)) return;
    using source = openImageDirectory(rootfs, destination);
    if (source === undefined) return;
    removeTree(partial);
    makeDirectoryAt(atCurrentDirectory, partial, 0o700);
    await copyTree(descriptorPath(source.fd), partial);
    renameSync(partial, whole);
  }
  using from = new OpenFile(openDirectory(whole));
  using to = new OpenFile(openDirectory(data));
  for (const { name } of readDirectory(from.fd)) {
    renameAt(from.fd, name, to.fd, name);
  }
  copyAttributes(from.fd, to.fd);
  rmdirSync(whole);
}

/** Fills a directory that is a file system of its own (a volume with driver options, or a subpath), if empty. */
export async function fillDirectory(directory: string, rootfs: string, destination: string): Promise<void> {
  if (!isEmpty(directory)) return;
  using source = openImageDirectory(rootfs, destination);
  if (source === undefined) return;
  await copyTree(descriptorPath(source.fd), directory);
}

function copyAttributes(from: number, to: number): void {
  const status = statusAt(from, "");
  changeOwner(to, status.uid, status.gid);
  changeMode(to, status.mode & 0o7777);
  for (const name of listXattrs(from)) setXattr(to, name, getXattr(from, name) ?? new Uint8Array());
  setTimes(to, status.atime, status.mtime);
}

/** The image's directory at `destination`, resolved inside its root; undefined when there is none. */
function openImageDirectory(rootfs: string, destination: string): OpenFile | undefined {
  using root = new OpenFile(openDirectory(rootfs));
  try {
    return new OpenFile(openInRoot(root.fd, destination, openFlag.readOnly | openFlag.directory));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/** A file (a subpath may be one) is not an empty directory. */
function isEmpty(directory: string): boolean {
  try {
    using opened = new OpenFile(openDirectory(directory));
    return readDirectory(opened.fd).every(({ name }) => name === "lost+found");
  } catch (error) {
    if (hasErrno(error, "ENOTDIR")) return false;
    throw error;
  }
}

function exists(path: string): boolean {
  try {
    using _opened = new OpenFile(openAt(atCurrentDirectory, path, openFlag.path | openFlag.noFollow));
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}
