/** Files that only save time, `<data root>/build/<kind>/<name>`: each may go at any moment. */

import { hasErrno } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import { namesIn } from "../../linux/directories.ts";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "../../linux/files.ts";

/** Of each kind; what was written longest ago goes first. */
const mostKept = 64;

/** @param format the first line; the others are given back. Nothing where there is no such file, or it is another's. */
export function readKept(directory: string, name: string, format: string): string[] {
  let text: string;
  try {
    text = readFileSync(join(directory, name), "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
  const [first, ...lines] = text.split("\n");
  return first === format ? lines : [];
}

/** In the place of what was there. */
export function writeKept(directory: string, name: string, format: string, lines: readonly string[]): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const temporary = join(directory, `${name}.${process.pid}`);
  try {
    writeFileSync(temporary, `${format}\n${lines.join("\n")}`, { mode: 0o600 });
    renameSync(temporary, join(directory, name));
  } catch (error) {
    rmSync(temporary, { force: true });
    if (!hasErrno(error, "ENOSPC", "EDQUOT")) throw error;
  }
  dropOldest(directory);
}

function dropOldest(directory: string): void {
  const names = namesIn(directory);
  if (names.length <= mostKept) return;
  const times = names.map((name) => {
    const time = statSync(join(directory, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return { name, time };
  });
  times.sort((left, right) => right.time - left.time);
  for (const { name } of times.slice(mostKept)) rmSync(join(directory, name), { force: true });
}
