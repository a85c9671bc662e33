/** Temporary directories that go away whatever happens, and facts about trees to compare. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeTree } from "../../src/linux/directories.ts";
import { type NodeStatus, nodeType, readSymlinkAt, statusAt } from "../../src/linux/nodes.ts";
import { atCurrentDirectory, descriptorPath, pathBytes } from "../../src/linux/paths.ts";
import { isDirectory, walkTree } from "../../src/linux/walk.ts";
import { getXattr, listXattrs } from "../../src/linux/xattrs.ts";

export class Scratch implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "davit-test-"));

  /** A fresh directory. */
  directory(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    removeTree(this.path);
  }
}

/** Runs a program; throws with what it said when it fails. */
export function run(command: string[], options: { cwd?: string; input?: string } = {}): string {
  const result = Bun.spawnSync(command, {
    cwd: options.cwd ?? "/",
    stdin: options.input === undefined ? "ignore" : Buffer.from(options.input),
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  if (result.exitCode !== 0) {
    throw new Error(`${command.join(" ")}: exit ${result.exitCode}: ${result.stderr.toString()}`);
  }
  return result.stdout.toString();
}

const second = 1_000_000_000n;

export interface TreeFacts {
  /** By path; `.` is the root. */
  nodes: Record<string, Record<string, unknown>>;
  /** Groups of names that are one inode. */
  links: string[][];
}

/** All that a user of a tree can see. `without` leaves out what an archive format does not keep. */
export function treeFacts(root: string, without: { xattrs?: boolean; fractions?: boolean } = {}): TreeFacts {
  const nodes: TreeFacts["nodes"] = {};
  const groups = new Map<bigint, string[]>();
  const time = ({ mtime }: NodeStatus) =>
    without.fractions === true ? mtime - (((mtime % second) + second) % second) : mtime;
  const common = (status: NodeStatus, path: string) => ({
    mode: status.mode.toString(8),
    owner: `${status.uid}:${status.gid}`,
    mtime: `${time(status)}`,
    device: `${status.deviceMajor}:${status.deviceMinor}`,
    ...(without.xattrs === true ? {} : { xattrs: xattrsOf(path) }),
  });
  const top = statusAt(atCurrentDirectory, root);
  nodes["."] = common(top, root);
  for (const { path, directory, name, status } of walkTree(root)) {
    const facts: Record<string, unknown> = common(status, descriptorPath(directory, name));
    const type = status.mode & nodeType.mask;
    if (type === nodeType.symlink) facts.target = readSymlinkAt(directory, name);
    if (type === nodeType.file) {
      facts.size = status.size;
      facts.content = createHash("sha1")
        .update(readFileSync(bytesPath(directory, name)))
        .digest("hex");
    }
    if (!isDirectory(status)) groups.set(status.inode, [...(groups.get(status.inode) ?? []), path]);
    nodes[path] = facts;
  }
  return {
    nodes,
    links: [...groups.values()].filter((names) => names.length > 1).map((names) => names.sort()),
  };
}

/** Names that are not UTF-8 reach node:fs as bytes. */
function bytesPath(directory: number, name: string): Buffer {
  return Buffer.from(pathBytes(descriptorPath(directory, name))).subarray(0, -1);
}

function xattrsOf(path: string): Record<string, string> {
  const xattrs: Record<string, string> = {};
  for (const name of listXattrs(path).sort()) {
    xattrs[name] = Buffer.from(getXattr(path, name) ?? []).toString("hex");
  }
  return xattrs;
}

/** Everything below a directory as one text: to see whether anything outside a root was touched. */
export function fingerprint(root: string): string {
  return JSON.stringify(treeFacts(root));
}

export function missing(path: string): boolean {
  return !existsSync(path);
}
