/**
 * Checks that imports between rooms point down: a room may import itself and the rooms listed for it.
 * Exits 1 and names each import that points up.
 */

import { dirname, join, relative } from "node:path";
import { Glob } from "bun";

/** Each room and the rooms it may look into. `core` is open to all. */
const below: Record<string, readonly string[]> = {
  core: [],
  linux: [],
  state: ["linux"],
  storage: ["state", "linux"],
  images: ["storage", "state", "linux"],
  runtime: ["storage", "state", "linux"],
  network: ["state", "linux"],
  volumes: ["storage", "state", "linux"],
  registry: ["images", "storage", "state", "linux"],
  build: ["images", "runtime", "network", "volumes", "registry", "storage", "state", "linux"],
  engine: ["build", "registry", "images", "runtime", "network", "volumes", "storage", "state", "linux"],
  api: ["engine"],
  cli: ["engine", "api", "registry", "linux"],
};

const root = join(import.meta.dir, "..", "src");
const faults: string[] = [];
let files = 0;

for await (const file of new Glob("**/*.ts").scan(root)) {
  const room = file.includes("/") ? file.split("/")[0] : undefined;
  if (room === undefined) continue;
  files += 1;
  const allowed = below[room];
  if (allowed === undefined) {
    faults.push(`src/${file}: room "${room}" is not in the plan (scripts/check-imports.ts)`);
    continue;
  }
  const text = await Bun.file(join(root, file)).text();
  for (const [, target] of text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
    const other = relative(root, join(root, dirname(file), target ?? "")).split("/")[0] ?? "";
    if (other !== room && other !== "core" && !allowed.includes(other)) {
      faults.push(`src/${file}: "${room}" must not import "${other}" (${target})`);
    }
  }
}

for (const fault of faults) console.error(fault);
console.log(`import directions: ${files} files, ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
