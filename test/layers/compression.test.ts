import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
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
