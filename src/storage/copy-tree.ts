/** Copies a tree as it is: owners, modes, xattrs, nanosecond times, hard links, devices, holes. */
import { hasErrno } from "../core/errors.ts";
import { tryCopyRange, tryReflink } from "../linux/disks.ts";
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
import { closeFile, descriptorPath, openAt, openDirectory, openFlag } from "../linux/paths.ts";
import { isDirectory, walkTree } from "../linux/walk.ts";
import { getXattr, listXattrs, setXattr } from "../linux/xattrs.ts";

const directoryFlags = openFlag.readOnly | openFlag.directory | openFlag.noFollow;
/** Nodes copied between two turns of the event loop. */
const batch = 500;

interface CopiedDirectory {
  path: string;
  fd: number;
  status: NodeStatus;
}

/** Copies what is in `from` into the existing, empty directory `to`, and the attributes of `from` itself. */
export async function copyTree(from: string, to: string): Promise<void> {
  const source = openDirectory(from);
  const root = openDirectory(to);
  const top: CopiedDirectory = { path: "", fd: openDirectory(to), status: statusAt(source, "") };
  const open = [top];
  const linked = new Map<bigint, string>();
  let copied = 0;
  try {
    copyXattrs(source, root);
    for (const node of walkTree(from)) {
      // The walk goes depth first: a node that is not below the innermost directory ends that directory.
      while (!holds(open.at(-1), node.path)) finish(open);
      const inner = open.at(-1) ?? top;
      if (isDirectory(node.status)) {
        makeDirectoryAt(inner.fd, node.name, 0o700);
        const fd = openAt(inner.fd, node.name, directoryFlags);
        open.push({ path: node.path, fd, status: node.status });
        copyXattrs(descriptorPath(node.directory, node.name), fd);
      } else {
        const first = node.status.links > 1 ? linked.get(node.status.inode) : undefined;
        if (first !== undefined) linkAt(root, first, inner.fd, node.name);
        else copyNode(node.directory, node.name, node.status, inner.fd);
        if (first === undefined && node.status.links > 1) linked.set(node.status.inode, node.path);
      }
      copied += 1;
      if (copied % batch === 0) await Bun.sleep(0);
    }
    while (open.length > 0) finish(open);
  } finally {
    for (const { fd } of open) closeFile(fd);
    closeFile(source);
    closeFile(root);
  }
}

function holds(directory: CopiedDirectory | undefined, path: string): boolean {
  return directory === undefined || directory.path === "" || path.startsWith(`${directory.path}/`);
}

/** Gives the innermost directory its attributes, now that nothing is made in it any more. */
function finish(open: CopiedDirectory[]): void {
  const inner = open.pop();
  if (inner === undefined) return;
  try {
    changeOwner(inner.fd, inner.status.uid, inner.status.gid);
    changeMode(inner.fd, inner.status.mode & 0o7777);
    setTimes(inner.fd, inner.status.atime, inner.status.mtime);
  } finally {
    closeFile(inner.fd);
  }
}

function copyNode(directory: number, name: string, status: NodeStatus, to: number): void {
  const type = status.mode & nodeType.mask;
  const permissions = status.mode & 0o7777;
  if (type === nodeType.file) {
    copyFile(directory, name, status, to);
    return;
  }
  if (type === nodeType.symlink) makeSymlinkAt(readSymlinkAt(directory, name), to, name);
  else makeNodeAt(to, name, type | 0o600, deviceNumber(status.deviceMajor, status.deviceMinor));
  changeOwnerAt(to, name, status.uid, status.gid);
  if (type !== nodeType.symlink) changeModeAt(to, name, permissions);
  copyXattrs(descriptorPath(directory, name), descriptorPath(to, name));
  setTimesAt(to, name, status.atime, status.mtime);
}

function copyFile(directory: number, name: string, status: NodeStatus, to: number): void {
  const input = openAt(directory, name, openFlag.readOnly | openFlag.noFollow | openFlag.nonBlocking);
  try {
    const output = openAt(to, name, openFlag.writeOnly | openFlag.create | openFlag.exclusive, 0o600);
    try {
      if (status.size > 0 && !tryReflink(input, output)) copyData(input, output, status.size);
      changeOwner(output, status.uid, status.gid);
      changeMode(output, status.mode & 0o7777);
      // After chown, which clears security.capability.
      copyXattrs(input, output);
      setTimes(output, status.atime, status.mtime);
    } finally {
      closeFile(output);
    }
  } finally {
    closeFile(input);
  }
}

const bufferSize = 1 << 20;

function copyData(input: number, output: number, size: number): void {
  for (let at = 0; at < size; ) {
    const run = nextData(input, at);
    if (run === undefined) break;
    if (!tryCopyRange(input, output, run.start, run.end - run.start)) {
      const buffer = new Uint8Array(bufferSize);
      for (let offset = run.start; offset < run.end; ) {
        const length = readAt(input, buffer.subarray(0, Math.min(bufferSize, run.end - offset)), offset);
        if (length === 0) break;
        writeAt(output, buffer.subarray(0, length), offset);
        offset += length;
      }
    }
    at = run.end;
  }
  truncate(output, size);
}

function copyXattrs(from: string | number, to: string | number): void {
  for (const name of listXattrs(from)) {
    const value = getXattr(from, name);
    if (value === undefined) continue;
    try {
      setXattr(to, name, value);
    } catch (error) {
      // The data root's own file system decides what it keeps; the tree below was unpacked there too.
      if (!hasErrno(error, "ENOTSUP", "EOPNOTSUPP")) throw error;
    }
  }
}
