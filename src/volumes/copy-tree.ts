/**
 * Copies what is in one directory into another with everything that a file has: owner, mode, times, extended
 * attributes, hard links, holes, devices. Symlinks are copied, never followed; mounts inside are not entered.
 */
import { constants } from "node:os";
import { LinuxError } from "../core/errors.ts";
import { readDirectory } from "../linux/directories.ts";
import { tryCopyRange } from "../linux/disks.ts";
import {
  changeMode,
  changeModeAt,
  changeOwner,
  changeOwnerAt,
  deviceNumber,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  makeSymlinkAt,
  type NodeStatus,
  nextData,
  nodeType,
  readAt,
  readSymlinkAt,
  setTimes,
  setTimesAt,
  statusAt,
  truncate,
  writeAt,
} from "../linux/nodes.ts";
import { descriptorPath, OpenFile, openAt, openFlag } from "../linux/paths.ts";
import { getXattr, listXattrs, setXattr } from "../linux/xattrs.ts";

interface Copying {
  device: bigint;
  /** First copy of each file that has several names, by inode. */
  linked: Map<bigint, { directory: string; name: string }>;
}

/** Copies the content of directory `from` into directory `to`, and gives `to` its attributes at the end. */
export function copyTree(from: number, to: number): void {
  const status = statusAt(from, "");
  copyContent(from, to, "", { device: status.device, linked: new Map() }, to);
  copyAttributes(from, to, status);
}

/** Owner, mode, extended attributes and times of one open file or directory. */
export function copyAttributes(from: number, to: number, status: NodeStatus): void {
  // Before the mode: a change of owner clears setuid. Before the attributes: it clears file capabilities too.
  changeOwner(to, status.uid, status.gid);
  changeMode(to, status.mode & 0o7777);
  copyXattrs(from, to);
  setTimes(to, status.atime, status.mtime);
}

function copyXattrs(from: string | number, to: string | number): void {
  for (const name of listXattrs(from)) {
    if (name.startsWith("trusted.overlay.") || name === "security.selinux") continue;
    const value = getXattr(from, name);
    if (value === undefined) continue;
    try {
      setXattr(to, name, value);
    } catch (error) {
      // A file system without attributes (nfs, old tmpfs): the content still counts.
      if (!(error instanceof LinuxError && error.errno === constants.errno.EOPNOTSUPP)) throw error;
    }
  }
}

/** @param path of `to` below `root`, the top of the copy. */
function copyContent(from: number, to: number, path: string, copying: Copying, root: number): void {
  for (const { name } of readDirectory(from)) {
    const status = statusAt(from, name);
    const kind = status.mode & nodeType.mask;
    if (kind === nodeType.directory) {
      copyDirectory(from, to, path, name, status, copying, root);
      continue;
    }
    if (status.links > 1) {
      const first = copying.linked.get(status.inode);
      if (first !== undefined) {
        using directory = new OpenFile(openAt(root, first.directory, directoryFlags));
        linkAt(directory.fd, first.name, to, name);
        continue;
      }
      copying.linked.set(status.inode, { directory: path === "" ? "." : path, name });
    }
    if (kind === nodeType.file) copyFile(from, to, name, status);
    else if (kind === nodeType.symlink) copySymlink(from, to, name, status);
    else copyNode(from, to, name, status, kind);
  }
}

const directoryFlags = openFlag.readOnly | openFlag.directory | openFlag.noFollow;

function copyDirectory(
  from: number,
  to: number,
  path: string,
  name: string,
  status: NodeStatus,
  copying: Copying,
  root: number,
): void {
  makeDirectoryAt(to, name, 0o700);
  using source = new OpenFile(openAt(from, name, directoryFlags));
  using target = new OpenFile(openAt(to, name, directoryFlags));
  if (status.device === copying.device) {
    copyContent(source.fd, target.fd, path === "" ? name : `${path}/${name}`, copying, root);
  }
  copyAttributes(source.fd, target.fd, status);
}

function copyFile(from: number, to: number, name: string, status: NodeStatus): void {
  using source = new OpenFile(openAt(from, name, openFlag.readOnly | openFlag.noFollow));
  using target = new OpenFile(
    openAt(to, name, openFlag.writeOnly | openFlag.create | openFlag.exclusive | openFlag.noFollow, 0o600),
  );
  truncate(target.fd, status.size, name);
  for (let data = nextData(source.fd, 0); data !== undefined; data = nextData(source.fd, data.end)) {
    copyRange(source.fd, target.fd, data.start, data.end - data.start, name);
  }
  copyAttributes(source.fd, target.fd, status);
}

const chunk = 1 << 20;

function copyRange(from: number, to: number, offset: number, length: number, name: string): void {
  if (tryCopyRange(from, to, offset, length)) return;
  const buffer = new Uint8Array(Math.min(chunk, length));
  for (let done = 0; done < length; ) {
    const read = readAt(
      from,
      buffer.subarray(0, Math.min(buffer.length, length - done)),
      offset + done,
      name,
    );
    if (read === 0) return;
    writeAt(to, buffer.subarray(0, read), offset + done, name);
    done += read;
  }
}

function copySymlink(from: number, to: number, name: string, status: NodeStatus): void {
  makeSymlinkAt(readSymlinkAt(from, name), to, name);
  changeOwnerAt(to, name, status.uid, status.gid);
  copyXattrs(descriptorPath(from, name), descriptorPath(to, name));
  setTimesAt(to, name, status.atime, status.mtime);
}

function copyNode(from: number, to: number, name: string, status: NodeStatus, kind: number): void {
  const isDevice = kind === nodeType.blockDevice || kind === nodeType.characterDevice;
  const device = isDevice ? deviceNumber(status.deviceMajor, status.deviceMinor) : 0n;
  // A whiteout of overlay cannot be told from this device, and no image's content has it.
  if (kind === nodeType.characterDevice && device === 0n) return;
  makeNodeAt(to, name, kind | 0o600, device);
  changeOwnerAt(to, name, status.uid, status.gid);
  changeModeAt(to, name, status.mode & 0o7777);
  copyXattrs(descriptorPath(from, name), descriptorPath(to, name));
  setTimesAt(to, name, status.atime, status.mtime);
}
