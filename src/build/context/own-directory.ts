/** Directories for what is unpacked or fetched for a build: `<data root>/build/contexts/<pid>.<start time>.<random>`. */

import { randomId } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { namesIn, removeTree } from "../../linux/directories.ts";
import { mkdirSync } from "../../linux/files.ts";
import { isAlive, startTimeOf } from "../../linux/processes.ts";

export interface OwnDirectory extends Disposable {
  readonly path: string;
}

/** A fresh one; disposing of it removes it. */
export function ownDirectory(dataRoot: string): OwnDirectory {
  const owner = `${process.pid}.${startTimeOf(process.pid) ?? 0}`;
  const path = join(rootOf(dataRoot), `${owner}.${randomId().slice(0, 16)}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return { path, [Symbol.dispose]: () => removeTree(path) };
}

/** Removes those of processes that have ended. */
export function removeLostDirectories(dataRoot: string): void {
  const root = rootOf(dataRoot);
  for (const name of namesIn(root)) {
    const [pid = 0, started = 0] = name.split(".").map(Number);
    if (!isAlive(pid, started)) removeTree(join(root, name));
  }
}

function rootOf(dataRoot: string): string {
  return join(dataRoot, "build", "contexts");
}
