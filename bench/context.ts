/** Build contexts made from nothing but a seed: a source tree with its dependencies, 20,000 files and 500 MB. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Bytes, sizes, text } from "./image.ts";

const count = 20_000;
const bytes = 500_000_000;
/** The number of the file that a developer changes: a source file, in the middle of the tree. */
const changed = 9_613;

export const contextText = "20,000 files, 500 MB";

/** Fills a new directory. Contexts of another edition have other bytes. */
export function writeContext(directory: string, edition: number): void {
  const random = new Bytes(`davit bench context ${edition}`);
  for (const [index, size] of sizes(random, count, bytes).entries()) {
    const path = join(directory, pathOf(index));
    if (index % 40 === 0) mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, index % 2 === 0 ? text(random, size) : random.next(size));
  }
}

function pathOf(index: number): string {
  const top = ["src", "node_modules", "assets", "vendor"][Math.floor(index / 400) % 4] ?? "src";
  return `${top}/m${Math.floor(index / 1_280)}/part-${Math.floor(index / 40) % 32}/file-${index}`;
}

/** One line more, so that nobody has seen the file as it is now. */
export function changeOneFile(directory: string, line: string): void {
  const path = join(directory, pathOf(changed));
  writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from(`${line}\n`)]));
}

/** Reads all of it: whoever comes next finds it in the page cache. */
export function readAll(directory: string): void {
  Bun.spawnSync(["find", directory, "-type", "f", "-exec", "cat", "{}", "+"], { stdout: "ignore" });
}
