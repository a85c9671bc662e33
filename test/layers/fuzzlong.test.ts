import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { DavitError } from "../../src/core/errors.ts";
import { applyLayer } from "../../src/images/layers/apply.ts";
import { readTar } from "../../src/images/layers/tar-reader.ts";
import { removeTree } from "../../src/linux/directories.ts";
import { archive, stream } from "./archives.ts";
import { makeSampleTree } from "./sample-tree.ts";
import { fingerprint, run, Scratch } from "./scratch.ts";

/** Reproducible: a failure names its seed. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Flips bits, overwrites stretches, moves blocks, cuts. */
function damage(original: Buffer, seed: number): Buffer {
  const next = random(seed);
  const bytes = Buffer.from(original);
  const at = (size = 1) => Math.floor(next() * Math.max(1, bytes.length - size));
  for (let count = 1 + Math.floor(next() * 8); count > 0; count -= 1) {
    switch (Math.floor(next() * 4)) {
      case 0: {
        const place = at();
        bytes[place] = (bytes[place] ?? 0) ^ (1 << Math.floor(next() * 8));
        break;
      }
      case 1:
        bytes
          .subarray(at())
          .subarray(0, Math.floor(next() * 40))
          .fill(Math.floor(next() * 256));
        break;
      case 2: {
        const from = Math.floor(at(512) / 512) * 512;
        bytes.copyWithin(Math.floor(at(512) / 512) * 512, from, from + 512);
        break;
      }
      default:
        bytes.write(["../", "/", "\0", ".wh.", "7777777"][Math.floor(next() * 5)] ?? "", at(16), "latin1");
    }
  }
  return next() < 0.3 ? bytes.subarray(0, at()) : bytes;
}

/** Checksums made right again, so that the damage gets past them. */
function mendChecksums(bytes: Buffer): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block.toString("latin1", 257, 262) !== "ustar") continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
}

function sources(scratch: Scratch): Buffer[] {
  const tree = scratch.directory("tree");
  makeSampleTree(tree);
  removeTree(join(tree, "data"));
  const made = [
    ["--format=gnu", "--sparse"],
    ["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse", "--sparse-version=1.0"],
    ["--format=posix", "--sparse", "--sparse-version=0.0"],
  ].map((flags) => {
    const path = scratch.file("layer.tar");
    run(["tar", "-C", tree, ...flags, "-cf", path, "."]);
    return readFileSync(path);
  });
  const escapes = archive(
    { name: "door", type: "symlink", linkName: "/" },
    { name: "up", type: "symlink", linkName: "../../.." },
    { name: "door/davit-fuzz", type: "file", content: "x" },
    { name: "up/davit-fuzz", type: "directory" },
    { name: "h", type: "hard-link", linkName: "up/outside/canary" },
    { name: "up/.wh.outside", type: "file" },
    { name: "door/.wh..wh..opq", type: "file" },
  );
  return [...made, escapes];
}

test("damaged archives never write outside the root, hang, or fail in another way than by a DavitError", async () => {
  using scratch = new Scratch();
  const originals = sources(scratch);
  removeTree(scratch.file("tree"));
  const outside = scratch.directory("jail/outside");
  writeFileSync(join(outside, "canary"), "untouched");
  const canary = fingerprint(outside);
  let refused = 0;
  for (let seed = 10001; seed <= 12500; seed += 1) {
    const bytes = damage(originals[seed % originals.length] ?? Buffer.alloc(0), seed);
    if (seed % 2 === 0) mendChecksums(bytes);
    const root = join(scratch.path, "jail/root");
    mkdirSync(root);
    try {
      const whiteouts = seed % 3 === 0 ? "overlay" : "delete";
      await applyLayer(
        stream(bytes),
        { path: root, whiteouts },
        { limits: { entries: 1000, bytes: 2 ** 40 } },
      );
    } catch (error) {
      if (!(error instanceof DavitError)) throw new Error(`seed ${seed}: ${error}`, { cause: error });
      expect(error.message).not.toContain("\n");
      refused += 1;
    }
    removeTree(root);
    if (fingerprint(outside) !== canary) throw new Error(`seed ${seed} wrote outside the root`);
  }
  expect(run(["ls", "-A", join(scratch.path, "jail")])).toBe("outside\n");
  expect(refused).toBeGreaterThan(100);
}, 300_000);

test("damaged archives are read to their end or refused, whatever the pieces", async () => {
  using scratch = new Scratch();
  const originals = sources(scratch);
  for (let seed = 20000; seed < 24000; seed += 1) {
    const bytes = damage(originals[seed % originals.length] ?? Buffer.alloc(0), seed);
    if (seed % 2 === 0) mendChecksums(bytes);
    const outcome = async (size: number) => {
      const names: string[] = [];
      try {
        for await (const { entry } of readTar(pieces(bytes, size))) names.push(entry.name);
      } catch (error) {
        if (!(error instanceof DavitError)) throw new Error(`seed ${seed}: ${error}`, { cause: error });
        names.push(error.message);
      }
      return names;
    };
    expect(await outcome(777)).toEqual(await outcome(1 << 20));
  }
}, 300_000);

test("damaged compressed layers are refused", async () => {
  using scratch = new Scratch();
  const plain = Buffer.concat([archive({ name: "f", type: "file", content: "content ".repeat(2000) })]);
  for (const packed of [gzipSync(plain), zstdCompressSync(plain)]) {
    for (let seed = 1; seed <= 60; seed += 1) {
      const next = random(seed);
      const cut = packed.subarray(0, 1 + Math.floor(next() * (packed.length - 2)));
      const root = scratch.directory(`root-${packed.length}-${seed}`);
      await expect(applyLayer(stream(cut), { path: root, whiteouts: "overlay" })).rejects.toThrow(DavitError);
    }
  }
}, 60_000);

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
