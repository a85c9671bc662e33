/** Users and groups by the image's own /etc/passwd and /etc/group, opened so that no link leads out of it. */

import { hasErrno, InvalidParameter } from "../core/errors.ts";
import { closeSync, fstatSync, readSync } from "../linux/files.ts";
import { openDirectory, openFlag, openInRoot } from "../linux/paths.ts";

export interface ResolvedUser {
  uid: number;
  gid: number;
  /** The primary group first: without it a process could shed a group's restrictions (CVE-2022-36109). */
  additionalGids: number[];
  /** Home directory by passwd; `/` when unknown. */
  home: string;
}

interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

const largestId = 2 ** 31 - 1;
/** An image's files are not ours to trust: a larger one is cut here. */
const largestFile = 4 * 1024 * 1024;

/**
 * Resolves `user`, `uid`, `user:group`, `uid:gid` or empty (root), with Docker's rules: a number is always an id,
 * and groups that list the user are added only where no group was named.
 * @param groupAdd further groups by name or number (`--group-add`).
 * @throws InvalidParameter `unable to find user x: no matching entries in passwd file`.
 */
export function resolveUser(rootfs: string, user: string, groupAdd: readonly string[] = []): ResolvedUser {
  const root = openDirectory(rootfs, openFlag.path);
  try {
    const [userName = "", groupName = ""] = splitOnce(user);
    const wantedUid = userName === "" ? 0 : asId(userName);
    const entry = readLines(root, "etc/passwd")
      .map(parsePasswd)
      .find(
        (line) =>
          line !== undefined && (wantedUid === undefined ? line.name === userName : line.uid === wantedUid),
      );
    if (entry === undefined && wantedUid === undefined) {
      throw new InvalidParameter(`unable to find user ${userName}: no matching entries in passwd file`);
    }
    const uid = entry?.uid ?? inRange(wantedUid ?? 0);

    const needsGroups = groupName !== "" || groupAdd.length > 0 || entry !== undefined;
    const groups = needsGroups ? readLines(root, "etc/group").map(parseGroup).filter(isDefined) : [];
    const gid = groupName === "" ? (entry?.gid ?? 0) : findGroup(groups, groupName, "unable");
    const supplementary =
      groupName === "" && entry !== undefined
        ? groups.filter((group) => group.members.includes(entry.name)).map((group) => group.gid)
        : [];
    const added = groupAdd.map((name) => findGroup(groups, name, "Unable"));
    return {
      uid,
      gid,
      additionalGids: [...new Set([gid, ...supplementary, ...added])],
      home: entry?.home || "/",
    };
  } finally {
    closeSync(root);
  }
}

function findGroup(groups: readonly GroupEntry[], name: string, capitalized: "unable" | "Unable"): number {
  const wanted = asId(name);
  const found = groups.find((group) => (wanted === undefined ? group.name === name : group.gid === wanted));
  if (found !== undefined) return found.gid;
  if (wanted !== undefined) return inRange(wanted);
  throw new InvalidParameter(`${capitalized} to find group ${name}: no matching entries in group file`);
}

function splitOnce(text: string): [string, string] {
  const colon = text.indexOf(":");
  return colon < 0 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)];
}

/** The number, also one out of range; undefined for a name. */
function asId(text: string): number | undefined {
  return /^[+-]?\d{1,18}$/.test(text) ? Number(text) : undefined;
}

function inRange(id: number): number {
  if (id >= 0 && id <= largestId) return id;
  throw new InvalidParameter(`uids and gids must be in range 0-${largestId}`);
}

/** `name:password:uid:gid:comment:home:shell`; a line that is none is passed over. */
function parsePasswd(line: string): PasswdEntry | undefined {
  const [name = "", , uid, gid, , home = ""] = line.split(":");
  const ids = { uid: validId(uid), gid: validId(gid) };
  if (name === "" || ids.uid === undefined || ids.gid === undefined) return undefined;
  return { name, uid: ids.uid, gid: ids.gid, home };
}

/** `name:password:gid:member,member`. */
function parseGroup(line: string): GroupEntry | undefined {
  const [name = "", , gid, members = ""] = line.split(":");
  const id = validId(gid);
  return name === "" || id === undefined ? undefined : { name, gid: id, members: members.split(",") };
}

function validId(text: string | undefined): number | undefined {
  const id = text === undefined || !/^\d{1,10}$/.test(text) ? undefined : Number(text);
  return id !== undefined && id <= largestId ? id : undefined;
}

function isDefined<Value>(value: Value | undefined): value is Value {
  return value !== undefined;
}

/** The lines of a file below `root`; none when it does not exist or is no regular file. */
function readLines(root: number, path: string): string[] {
  let fd: number;
  try {
    // Not blocking: it may be a fifo.
    fd = openInRoot(root, path, openFlag.readOnly | openFlag.nonBlocking);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENXIO")) return [];
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return [];
    const buffer = Buffer.alloc(Math.min(stat.size, largestFile));
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      if (count === 0) break;
      length += count;
    }
    return buffer.toString("utf8", 0, length).split("\n");
  } finally {
    closeSync(fd);
  }
}
