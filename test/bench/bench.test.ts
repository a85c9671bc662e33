import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subject } from "../../bench/engines.ts";
import { describeImage, loadedImage, writeLargeImage } from "../../bench/image.ts";
import { inParallel, interleave, summarize, time } from "../../bench/measure.ts";
import { allMet, type Row, shortTable, table, withNumbers } from "../../bench/report.ts";

/** An "engine" whose commands are a shell's. */
function subject(name: Subject["name"]): Subject {
  return {
    name,
    version: "1",
    command: ["sh", "-c"],
    environment: { GREETING: name },
    removal: [],
    mark: "",
    async [Symbol.asyncDispose]() {},
  };
}

test("the large image is the same each time, and what it says it is", () => {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-bench-"));
  try {
    const path = join(directory, "large.tar");
    writeLargeImage(path, loadedImage);
    const listed = Bun.spawnSync(["tar", "-xOf", path, "manifest.json"]).stdout.toString();
    const [image] = JSON.parse(listed);
    expect(image.RepoTags).toEqual(["davit-bench-large:latest"]);
    expect(describeImage(loadedImage)).toBe("an image of 204 MB, 4 layers and 6700 files");
    let files = 0;
    let bytes = 0;
    for (const layer of image.Layers) {
      const tar = Bun.spawnSync(["tar", "-xOf", path, layer]).stdout;
      const digest = createHash("sha256").update(tar).digest("hex");
      expect(layer).toBe(`${digest}/layer.tar`);
      const list = Bun.spawnSync(["tar", "-tvf", "-"], { stdin: tar }).stdout.toString().trim().split("\n");
      const regular = list.filter((line) => line.startsWith("-"));
      files += regular.length;
      bytes += regular.reduce((sum, line) => sum + Number(line.split(/\s+/)[2]), 0);
    }
    expect(files).toBe(6_700);
    expect(Math.abs(bytes - 204_000_000)).toBeLessThan(files);
    // Known from the first time it was made: the seed and the recipe decide every byte.
    expect(image.Layers.map((layer: string) => layer.slice(0, 12))).toEqual([
      "f735fca5dcdc",
      "261e7e021946",
      "43a0046d996a",
      "8d0ccf3a9017",
    ]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);

test("a summary has the median, the least and the most", () => {
  expect(summarize([5, 1, 9])).toEqual({ median: 5, least: 1, most: 9, runs: 3 });
  expect(summarize([4, 1, 3, 2])).toEqual({ median: 2.5, least: 1, most: 4, runs: 4 });
  expect(() => summarize([])).toThrow("nothing was measured");
});

test("subjects take turns, and warm-up rounds do not count", async () => {
  const subjects = [subject("davit"), subject("Docker")];
  const order: string[] = [];
  const timings = await interleave(subjects, { warmup: 1, counted: 2 }, async ({ name }, round) => {
    order.push(`${name} ${round}`);
    return round < 0 ? 1000 : round;
  });
  expect(order).toEqual(["davit -1", "Docker -1", "davit 0", "Docker 0", "davit 1", "Docker 1"]);
  expect([...timings.values()].map(({ most, runs }) => [most, runs])).toEqual([
    [1, 2],
    [1, 2],
  ]);
});

test("a command that fails stops the bench and says why", async () => {
  expect(await time(subject("davit"), ['test "$GREETING" = davit'])).toBeGreaterThan(0);
  await expect(time(subject("Docker"), ["echo no such thing >&2; exit 3"])).rejects.toThrow(
    /Docker .* ended with 3:\nno such thing/,
  );
});

test("at most so many tasks run at once, and each runs once", async () => {
  let running = 0;
  let most = 0;
  const done: number[] = [];
  await inParallel(10, 4, async (index) => {
    running += 1;
    most = Math.max(most, running);
    await Bun.sleep(1);
    running -= 1;
    done.push(index);
  });
  expect(most).toBe(4);
  expect(done.sort((one, other) => one - other)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("the table says which limits are met, and which are not", () => {
  const [davit, docker] = [subject("davit"), subject("Docker")];
  const row = (title: string, mine: number, theirs: number): Row => ({
    title,
    unit: "ms",
    limits: { Docker: 0.5, Podman: 0.5 },
    values: new Map([
      [davit, summarize([mine])],
      [docker, summarize([theirs])],
    ]),
  });
  const rows = [row("good", 40, 100), row("bad", 60, 100)];
  const text = table({ subjects: [davit, docker], rows, notes: [] });
  expect(text).toContain("| good | 40 ms | 100 ms | 0.40 × Docker (at most 0.5) | yes |");
  expect(text).toContain("| bad | 60 ms | 100 ms | 0.60 × Docker (at most 0.5) | **no** |");
  const short = shortTable({ subjects: [davit, docker], rows, notes: [] });
  expect(short).toBe(
    "| | davit | Docker |\n|---|---|---|\n| good | 40 ms | 100 ms |\n| bad | 60 ms | 100 ms |",
  );
  expect(withNumbers("a\n<!-- numbers -->\nold\n<!-- end of numbers -->\nb", "new")).toBe(
    "a\n<!-- numbers -->\nnew\n<!-- end of numbers -->\nb",
  );
  expect(() => withNumbers("nothing", "new")).toThrow("no place for numbers");
  expect(allMet(rows)).toBe(false);
  expect(allMet(rows.slice(0, 1))).toBe(true);
});
