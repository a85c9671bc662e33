/** Watches that unpacking never fills a file system to the last byte or inode. */

import { fileSystemStatus } from "../../linux/disks.ts";
import { errnoNumber } from "../../linux/errno.ts";
import { linuxError } from "../../linux/libc.ts";

/** Left free: at most this much, on small file systems one part in a hundred. */
const largestReserve = 64 << 20;
const reservePart = 0.01;
const reservedInodes = 1000;
/** Asked again each time this much was written, and this many nodes made. */
const bytesBetween = 32 << 20;
const nodesBetween = 10_000;
/** What the smallest file costs. */
const nodeCost = 4096;

export class SpaceWatch {
  readonly #fd: number;
  #bytes = 0;
  #nodes = 0;

  /** @param fd any descriptor on the file system. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  addNode(name: string): void {
    this.#bytes += nodeCost;
    this.#nodes += 1;
    if (this.#nodes >= nodesBetween) this.#check(name);
  }

  /** @throws LinuxError ENOSPC naming the entry, before nothing is left. */
  addBytes(length: number, name: string): void {
    this.#bytes += length;
    if (this.#bytes >= bytesBetween) this.#check(name);
  }

  #check(name: string): void {
    this.#bytes = 0;
    this.#nodes = 0;
    const status = fileSystemStatus(this.#fd);
    const reserve = Math.min(largestReserve, status.totalBytes * reservePart);
    const inodesLeft = status.freeInodes ?? Number.POSITIVE_INFINITY;
    if (status.freeBytes < reserve || inodesLeft < reservedInodes) {
      throw linuxError("write", errnoNumber.ENOSPC, name);
    }
  }
}
