import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { hashHere, SideHasher, type StreamHash } from "../../src/images/layers/side-hash.ts";

/** As many bytes as are asked for, the same each time. */
function bytesOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (Math.imul(at + seed, 2654435761) >>> 13) & 255);
}

/** Through one buffer that is written over as soon as the hash lets it, as an unpacker does. */
async function feed(hash: StreamHash, bytes: Uint8Array, chunkSize: number): Promise<string> {
  const buffer = new Uint8Array(chunkSize);
  for (let at = 0; at < bytes.length; at += chunkSize) {
    const chunk = bytes.subarray(at, at + chunkSize);
    buffer.set(chunk);
    await hash.update(buffer.subarray(0, chunk.length));
    buffer.fill(0);
  }
  return await hash.digest();
}

const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

for (const chunkSize of [1000, 1 << 18, 3_000_000]) {
  test(`the other thread's digest is sha256, fed by ${chunkSize} bytes`, async () => {
    const bytes = bytesOf(7_500_001, chunkSize);
    using stream = new SideHasher().open();
    expect(await feed(stream, bytes, chunkSize)).toBe(sha256(bytes));
  });
}

test("streams side by side do not get each other's bytes, whatever else is dropped", async () => {
  const hasher = new SideHasher();
  const all = Array.from({ length: 6 }, (_, at) => bytesOf(1_200_000 + at, at));
  const dropped = hasher.open();
  await dropped.update(bytesOf(100_000, 1));
  const digests = all.map(async (bytes, at) => {
    using stream = hasher.open();
    return await feed(stream, bytes, 100_000 * (at + 1));
  });
  dropped[Symbol.dispose]();
  expect(await Promise.all(digests)).toEqual(all.map(sha256));
});

test("a stream that was dropped has no digest", async () => {
  const stream = new SideHasher().open();
  stream[Symbol.dispose]();
  await expect(stream.digest()).rejects.toThrow("given up");
});

test("no bytes at all have a digest, too", async () => {
  using aside = new SideHasher().open();
  using here = hashHere();
  expect([await aside.digest(), await here.digest()] as string[]).toEqual(
    [new Uint8Array(0), new Uint8Array(0)].map(sha256),
  );
});
