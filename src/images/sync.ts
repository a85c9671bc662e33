/** One sync for all that was written to a file system. syncfs(2). */
import { closeSync, openSync } from "node:fs";
import { check, symbols } from "../linux/libc.ts";

/** All that was written so far to the file system that holds `path` survives a power cut. */
export function syncFileSystemOf(path: string): void {
  const fd = openSync(path, "r");
  try {
    check(symbols.syncfs(fd), "syncfs", path);
  } finally {
    closeSync(fd);
  }
}
