/**
 * What the commands that people run all day load before they work. A module of node's that slips in costs each of them
 * milliseconds (docs/decisions/007-start-up.md).
 */
import { expect, test } from "bun:test";
import { dirname, join, relative } from "node:path";

const source = join(import.meta.dir, "../../src");

/** Where commands begin, and what they load when they get there. */
const entries = [
  "main.ts",
  "engine/local/index.ts",
  ...["container/run", "container/exec", "container/list", "container/start", "image/pull", "image/push"].map(
    (name) => `cli/${name}.ts`,
  ),
  "cli/build/build.ts",
  ...["create", "start", "attach", "wait", "exec", "list", "remove", "internal", "pull", "push"].map(
    (name) => `engine/local/${name}.ts`,
  ),
  "engine/local/build.ts",
  "engine/local/build-export.ts",
];

const dear = /^node:(fs|fs\/promises|path|os|crypto|zlib|child_process|tty|http|net|stream)$/;

/** What a file imports at once: not its types, and not what it imports when it needs it. */
async function importsOf(file: string): Promise<string[]> {
  const { imports } = new Bun.Transpiler({ loader: "ts" }).scan(await Bun.file(file).text());
  return imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => path);
}

test("commands that are run all day load none of node's larger modules", async () => {
  const loadedBy = new Map<string, string>();
  const queue = entries.map((entry) => ({ file: join(source, entry), by: "a command" }));
  const found: string[] = [];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { file, by } = next;
    if (loadedBy.has(file)) continue;
    loadedBy.set(file, by);
    for (const path of await importsOf(file)) {
      const name = relative(source, file);
      if (path.startsWith(".")) queue.push({ file: join(dirname(file), path), by: name });
      else if (dear.test(path)) found.push(`${name} (loaded by ${by}) imports ${path}`);
    }
  }
  expect(found).toEqual([]);
  // It has looked at all of it.
  expect(loadedBy.size).toBeGreaterThan(200);
});
