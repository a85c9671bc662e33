/** Short Dockerfiles for the comparison with BuildKit: edge cases and mistakes, none of which builds anything. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CorpusFile } from "./support.ts";

/** They stand in one file, with lines of `%%` between them. */
export function extraFiles(): CorpusFile[] {
  const all = readFileSync(join(import.meta.dir, "extra-dockerfiles.txt"), "utf8");
  return all
    .replace(/\n$/, "")
    .split("\n%%\n")
    .map((text, index) => ({ name: `extra ${index + 1}`, text }));
}
