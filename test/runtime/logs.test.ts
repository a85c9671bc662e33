import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ReadLogOptions, readLog } from "../../src/runtime/logs.ts";

let directory = "";
let path = "";
beforeEach(() => {
  directory = mkdtempSync("/tmp/davit-test-logs-");
  path = join(directory, "log");
});
afterEach(() => rmSync(directory, { recursive: true }));

const at = (second: number) => `2026-01-02T03:04:${String(second).padStart(2, "0")}.123456789+00:00`;
const unix = (second: number) => Date.parse(`2026-01-02T03:04:${String(second).padStart(2, "0")}Z`) / 1000;

async function read(options: Partial<ReadLogOptions> = {}): Promise<[string, string][]> {
  const frames: [string, string][] = [];
  for await (const { stream, data } of readLog(path, { stdout: true, stderr: true, ...options })) {
    frames.push([stream, Buffer.from(data).toString("latin1")]);
  }
  return frames;
}

const sample = [
  `${at(1)} stdout F a`,
  `${at(2)} stdout P b`,
  `${at(3)} stdout F c`,
  `${at(4)} stderr F e`,
  `${at(5)} stdout P end`,
  "",
].join("\n");

test("parts of a line are joined, and a last line without newline gets none", async () => {
  writeFileSync(path, sample);
  expect(await read()).toEqual([
    ["stdout", "a\nbc\n"],
    ["stderr", "e\n"],
    ["stdout", "end"],
  ]);
});

test("one stream can be read alone", async () => {
  writeFileSync(path, sample);
  expect(await read({ stderr: false })).toEqual([["stdout", "a\nbc\nend"]]);
});

test.each([
  [0, ""],
  [1, "end"],
  [2, "e\nend"],
  [3, "bc\ne\nend"],
  [4, "a\nbc\ne\nend"],
  [99, "a\nbc\ne\nend"],
])("the last %i lines count unfinished ones, and whole ones once", async (tail, text) => {
  writeFileSync(path, sample);
  expect((await read({ tail })).map(([, data]) => data).join("")).toBe(text);
});

test("the last lines are found also where they are far from the end", async () => {
  const lines = Array.from(
    { length: 50_000 },
    (_, n) => `${at(n % 60)} stdout F ${n} ${"x".repeat(n % 300)}`,
  );
  writeFileSync(path, `${lines.join("\n")}\n`);
  for (const tail of [1, 4000, 49_999]) {
    const text = (await read({ tail })).map(([, data]) => data).join("");
    expect(text.split("\n")).toHaveLength(tail + 1);
    expect(text).toStartWith(`${50_000 - tail} `);
  }
});

test("times stand once a line, in UTC", async () => {
  writeFileSync(path, `${sample}2026-01-02T05:04:06.5+02:00 stderr F local\n`);
  expect((await read({ timestamps: true })).map(([, data]) => data).join("")).toBe(
    "2026-01-02T03:04:01.123456789Z a\n2026-01-02T03:04:02.123456789Z bc\n" +
      "2026-01-02T03:04:04.123456789Z e\n2026-01-02T03:04:05.123456789Z end2026-01-02T03:04:06.500000000Z local\n",
  );
});

test("since and until cut by time", async () => {
  writeFileSync(path, sample);
  expect(await read({ since: unix(4) })).toEqual([
    ["stderr", "e\n"],
    ["stdout", "end"],
  ]);
  expect(await read({ until: unix(4) })).toEqual([["stdout", "a\nbc\n"]]);
  expect(await read({ since: unix(4) + 0.2 })).toEqual([["stdout", "end"]]);
});

test("every byte comes back", async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n).filter((n) => n !== 10));
  writeFileSync(path, Buffer.concat([Buffer.from(`${at(1)} stdout P `), bytes, Buffer.from("\n")]));
  expect(await read()).toEqual([["stdout", bytes.toString("latin1")]]);
});

test("a missing file is an empty log, a torn record is left out", async () => {
  expect(await read()).toEqual([]);
  writeFileSync(
    path,
    `garbage\n${at(1)} stdout\n${at(1)} stdout X x\n${at(1)} stdout F ok\n${at(2)} stdout F to`,
  );
  expect(await read()).toEqual([["stdout", "ok\n"]]);
});

test("following gives what is written until the end, also over a rotation", async () => {
  let ended = false;
  const writing = (async () => {
    for (let n = 0; n < 6; n++) {
      await Bun.sleep(15);
      if (n === 3) {
        renameSync(path, `${path}.1`);
        writeFileSync(path, "");
      }
      appendFileSync(path, `${at(n)} stdout F ${n}\n`);
    }
    ended = true;
  })();
  const text = (await read({ follow: { hasEnded: () => ended } })).map(([, data]) => data).join("");
  await writing;
  expect(text).toBe("0\n1\n2\n3\n4\n5\n");
});

test("following stops when it is told to", async () => {
  writeFileSync(path, sample);
  const frames = await read({ follow: { hasEnded: () => false }, signal: AbortSignal.timeout(30) });
  expect(frames).toHaveLength(3);
});
