import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compressInParts } from "../../src/images/transfer/compress-parts.ts";
import { LayerPool } from "../../src/images/transfer/layer-pool.ts";

const directory = mkdtempSync(join(tmpdir(), "davit-test-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const size = (64 << 20) + 12_345;
const plain = new Uint8Array(size);
for (let at = 0; at < size; at += 4099) plain[at] = at >>> 7;
const path = join(directory, "plain");
writeFileSync(path, plain);

test.each(["gzip", "zstd"] as const)(
  "a layer in %s has the same bytes on one thread and on two",
  async (compression) => {
    const made = [];
    for (const threads of [1, 2]) {
      using pool = new LayerPool(threads);
      const output = join(directory, `${compression}-${threads}`);
      const progress: number[] = [];
      const job = { path, output, compression, level: undefined };
      const blob = await compressInParts(pool, job, size, {
        signal: new AbortController().signal,
        taken: (bytes) => progress.push(bytes),
      });
      const bytes = readFileSync(output);
      expect(blob.size).toBe(bytes.byteLength);
      expect(blob.digest).toBe(`sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`);
      expect(Math.max(...progress)).toBeLessThanOrEqual(size);
      made.push(bytes);
    }
    const [one = Buffer.of(), two = Buffer.of(1)] = made;
    expect(one.equals(two)).toBe(true);
    const unpacked = Bun.spawnSync([compression, "-dc"], {
      stdin: new Uint8Array(two),
      maxBuffer: 128 << 20,
    });
    expect(unpacked.stdout.equals(Buffer.from(plain))).toBe(true);
    expect(readdirSync(directory).filter((name) => name.startsWith(`${compression}-2`))).toEqual([
      `${compression}-2`,
    ]);
  },
);

test("a part that cannot be written fails the whole", async () => {
  using pool = new LayerPool(2);
  const output = join(directory, "taken");
  writeFileSync(`${output}.1`, "");
  const job = { path, output, compression: "zstd", level: undefined } as const;
  const compressing = compressInParts(pool, job, size, {
    signal: new AbortController().signal,
    taken: () => {},
  });
  await expect(compressing).rejects.toThrow("file exists");
});
