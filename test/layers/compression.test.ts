import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import {
  compress,
  decompress,
  detectCompression,
  detectFileCompression,
} from "../../src/images/layers/compression.ts";
import { run, Scratch } from "./scratch.ts";

const text = Buffer.from(Array.from({ length: 200_000 }, (_, line) => `line ${line} of the file\n`).join(""));

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(Uint8Array.from(chunk));
  return Buffer.concat(parts);
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** All of them in the same memory. */
async function* reusing(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size);
  for await (const piece of pieces(bytes, size)) {
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
  }
}

for (const tool of ["gzip", "zstd"] as const) {
  test(`what ${tool} packs is detected and unpacked, from a file and from a stream`, async () => {
    using scratch = new Scratch();
    writeFileSync(scratch.file("text"), text);
    run([tool, "-q", "-k", scratch.file("text")]);
    const path = scratch.file(tool === "gzip" ? "text.gz" : "text.zst");
    expect(detectFileCompression({ path })).toBe(tool);
    const fromFile = await decompress({ path });
    expect(fromFile.compression).toBe(tool);
    expect((await collect(fromFile.stream)).equals(text)).toBe(true);
    for (const size of [1, 1000, 1 << 20]) {
      const bytes = readFileSync(path).subarray(0, size === 1 ? 3000 : undefined);
      const { stream } = await decompress(pieces(bytes, size));
      if (size === 1) await expect(collect(stream)).rejects.toThrow();
      else expect((await collect(stream)).equals(text)).toBe(true);
    }
  });

  test(`${tool} members that follow each other are one stream`, async () => {
    using scratch = new Scratch();
    writeFileSync(scratch.file("a"), text);
    const pack = () =>
      run(["sh", "-c", `${tool} -qc a >>both && ${tool} -qc a >>both`], { cwd: scratch.path });
    pack();
    const { stream } = await decompress({ path: scratch.file("both") });
    expect((await collect(stream)).equals(Buffer.concat([text, text]))).toBe(true);
  });

  test(`${tool} itself unpacks what compress() packs, the same bytes each time`, async () => {
    using scratch = new Scratch();
    const first = await collect(compress(pieces(text, 100_000), tool));
    expect((await collect(compress(pieces(text, 100_000), tool))).equals(first)).toBe(true);
    writeFileSync(scratch.file("packed"), first);
    run(["sh", "-c", `${tool} -dc <packed >plain`], { cwd: scratch.path });
    expect(readFileSync(scratch.file("plain")).equals(text)).toBe(true);
  });
}

test("chunks may lie in memory that is used again, and be shorter than a magic number", async () => {
  for (const packed of [gzipSync(text), zstdCompressSync(text), text]) {
    for (const size of [2, 1000, 1 << 18]) {
      const bytes = packed.subarray(0, size === 2 ? 5000 : undefined);
      const whole = await decompress(pieces(bytes, bytes.length));
      const reused = await decompress(reusing(bytes, size));
      const outcome = (stream: AsyncIterable<Uint8Array>) => collect(stream).catch(String);
      expect(await outcome(reused.stream)).toEqual(await outcome(whole.stream));
    }
  }
});

test("zeros after the end of gzip are padding, anything else is damage", async () => {
  const packed = gzipSync(text);
  for (const size of [100, 1 << 18]) {
    const padded = await decompress(pieces(Buffer.concat([packed, Buffer.alloc(5000)]), size));
    expect((await collect(padded.stream)).equals(text)).toBe(true);
    const spoiled = await decompress(pieces(Buffer.concat([packed, Buffer.from("more")]), size));
    await expect(collect(spoiled.stream)).rejects.toThrow("gzip: the data is damaged");
  }
});

test("what is cut off or changed in the middle is told so", async () => {
  for (const [name, packed] of [
    ["gzip", gzipSync(text)],
    ["zstd", zstdCompressSync(text)],
  ] as const) {
    const cut = await decompress(pieces(packed.subarray(0, packed.length - 9), 1000));
    // What decides between the two is where in a frame zstd was cut.
    await expect(collect(cut.stream)).rejects.toThrow(/unexpected EOF|zstd: the data is damaged/);
    const changed = Buffer.from(packed).fill(0x5a, packed.length / 2, packed.length / 2 + 40);
    const { stream } = await decompress(pieces(changed, 1000));
    await expect(collect(stream)).rejects.toThrow(`${name}: the data is damaged`);
  }
});

test("other work of the thread gets its turn while much comes out of little", async () => {
  const { stream } = await decompress(pieces(gzipSync(Buffer.alloc(64 << 20)), 1 << 20));
  let turns = 0;
  const clock = setInterval(() => (turns += 1), 0);
  let bytes = 0;
  for await (const chunk of stream) bytes += chunk.length;
  clearInterval(clock);
  expect(bytes).toBe(64 << 20);
  expect(turns).toBeGreaterThan(0);
});

test("what is not compressed passes through, however short", async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from("a"), text]) {
    const { compression, stream } = await decompress(pieces(bytes, 7000));
    expect(compression).toBe("none");
    expect((await collect(stream)).equals(bytes)).toBe(true);
  }
  expect(detectCompression(Buffer.from([0x1f]))).toBe("none");
});

test("a failure of the source is the failure of the stream", async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield gzipHeader;
    throw new Error("the network is gone");
  }
  const { stream } = await decompress(failing());
  await expect(collect(stream)).rejects.toThrow("the network is gone");
});

const gzipHeader = Buffer.from("1f8b0800000000000003", "hex");

test("the source is closed when the reader stops early", async () => {
  let closed = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield text.subarray(0, 1000);
    } finally {
      closed = true;
    }
  }
  const { stream } = await decompress(endless());
  for await (const chunk of stream) {
    expect(chunk.length).toBe(1000);
    break;
  }
  expect(closed).toBe(true);
});

test("gzip output names no file and no time", async () => {
  const packed = await collect(compress(pieces(text, 1000), "gzip"));
  expect(packed.readUInt32LE(4)).toBe(0);
  expect(gunzipSync(packed).equals(text)).toBe(true);
});
