import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { openSha256 } from "../../src/linux/sha256.ts";

const large = 64 << 20;

for (const [name, size] of [
  ["few bytes", 1000],
  ["many bytes", large],
] as const) {
  test(`${name} have the digest of sha256, in whatever pieces they come`, () => {
    const bytes = Uint8Array.from({ length: 300_001 }, (_, at) => (at * at) >>> 7);
    using hash = openSha256(size);
    for (const [from, to] of [
      [0, 0],
      [0, 1],
      [1, 64],
      [64, 200_003],
      [200_003, 300_001],
    ] as const) {
      hash.update(bytes.subarray(from, to));
    }
    expect(hash.hex()).toBe(createHash("sha256").update(bytes).digest("hex"));
  });
}

test("hashes of many bytes do not meet, and one that is over takes nothing more", () => {
  const hashes = Array.from({ length: 50 }, () => openSha256(large));
  for (const [at, hash] of hashes.entries()) hash.update(Buffer.from(`number ${at}`));
  hashes[7]?.[Symbol.dispose]();
  for (const [at, hash] of hashes.entries()) {
    if (at === 7) expect(() => hash.hex()).toThrow();
    else expect(hash.hex()).toBe(createHash("sha256").update(`number ${at}`).digest("hex"));
    expect(() => hash.update(Buffer.from("more"))).toThrow();
    hash[Symbol.dispose]();
  }
});
