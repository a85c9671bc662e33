/**
 * Room on the data root's disk that is kept for what frees more: on a full disk, recording that a container ended or
 * is removed needs a few pages of the database, without which nothing could be removed any more.
 */

import { hasErrno } from "../core/errors.ts";
import { dirname } from "../core/paths.ts";
import { fileSystemStatus } from "../linux/disks.ts";
import { closeSync, openSync, rmSync, statSync, truncateSync, writeSync } from "../linux/files.ts";

const wholeReserve = 1 << 20;
/** What is given up at a time: the database's shared memory takes a fourth of it. */
const piece = 128 << 10;
/** Below this there is no room for what frees more. */
const tight = 256 << 10;
/** The reserve is made again only when this much is free. */
const ample = 8 << 20;

/** Makes the reserve if it is not there and there is room for it. Costs a stat otherwise. */
export function keepReserve(path: string): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === wholeReserve || fileSystemStatus(dirname(path)).freeBytes < ample) return;
  try {
    const fd = openSync(path, "w", 0o600);
    try {
      for (let at = 0; at < wholeReserve; at += piece) writeSync(fd, Buffer.alloc(piece), 0, piece, at);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (!hasErrno(error, "ENOSPC", "EDQUOT")) throw error;
    rmSync(path, { force: true });
  }
}

/** Gives up a piece of the reserve if the disk is full. @returns whether there is more room now. */
export function useReserve(path: string): boolean {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0 || fileSystemStatus(dirname(path)).freeBytes >= tight) return false;
  truncateSync(path, Math.max(0, size - piece));
  return true;
}
