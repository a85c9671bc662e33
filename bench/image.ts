/**
 * Large images made from nothing but a seed, always the same, in a tree such as a distribution with a language
 * runtime has. Half of the bytes are text, half do not compress.
 */
import { createCipheriv, createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";

export interface LargeImage {
  readonly name: string;
  /** Bottom first; bytes of the files. */
  readonly layers: readonly { files: number; bytes: number }[];
  /** A static program of the host that the lowest layer has as `/bin/busybox`. */
  readonly program?: string;
  /** Others of the same make have other bytes. 0 when absent. */
  readonly edition?: number;
}

/**
 * One image for each round: ext4 is slow to make files for a minute after it has removed many, so that none may be
 * removed before the next is measured.
 */
export function editionsOf(image: LargeImage, count: number): LargeImage[] {
  const [name = "", tag = "latest"] = image.name.split(":");
  return Array.from({ length: count }, (_, edition) => ({
    ...image,
    name: `${name}-${edition}:${tag}`,
    edition,
  }));
}

/** 204 MB, 6,700 files. */
export const loadedImage: LargeImage = {
  name: "davit-bench-large:latest",
  layers: [
    { files: 4_000, bytes: 120_000_000 },
    { files: 1_700, bytes: 50_000_000 },
    { files: 900, bytes: 30_000_000 },
    { files: 100, bytes: 4_000_000 },
  ],
};

/** 500 MB, 30,000 files. */
export const pulledImage: LargeImage = {
  name: "davit-bench-travels:latest",
  layers: [
    { files: 14_000, bytes: 220_000_000 },
    { files: 8_000, bytes: 130_000_000 },
    { files: 5_000, bytes: 90_000_000 },
    { files: 2_500, bytes: 45_000_000 },
    { files: 500, bytes: 15_000_000 },
  ],
  program: "/bin/busybox",
};

export function describeImage({ layers }: LargeImage): string {
  const sum = (key: "files" | "bytes") => layers.reduce((all, layer) => all + layer[key], 0);
  return `an image of ${Math.round(sum("bytes") / 1e6)} MB, ${layers.length} layers and ${sum("files")} files`;
}

const directories = [
  "usr/bin",
  "usr/lib",
  "usr/share/doc",
  "usr/share/locale",
  "opt/app/node_modules",
  "var/lib",
];

/** An endless stream of bytes that depends on the seed alone. */
export class Bytes {
  readonly #cipher;
  constructor(seed: string) {
    const key = createHash("sha256").update(seed).digest();
    this.#cipher = createCipheriv("aes-128-ctr", key.subarray(0, 16), key.subarray(16));
  }
  next(length: number): Buffer {
    return this.#cipher.update(Buffer.alloc(length));
  }
  /** A number from 0 up to but not 1. */
  fraction(): number {
    return this.next(4).readUInt32LE() / 2 ** 32;
  }
}

/** Sizes as file systems have them: most small, a few large, together as asked. */
export function sizes(random: Bytes, count: number, total: number): number[] {
  const weights = Array.from({ length: count }, () => Math.exp(5 * random.fraction() ** 2));
  const sum = weights.reduce((all, weight) => all + weight, 0);
  return weights.map((weight) => Math.floor((weight / sum) * total));
}

function header(name: string, size: number, mode: number, type: "0" | "5"): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write(`${mode.toString(8).padStart(7, "0")}\0`, 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("14371573400\0", 136);
  block.write("        ", 148);
  block.write(type, 156);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function padding(size: number): Buffer {
  return Buffer.alloc((512 - (size % 512)) % 512);
}

export function text(random: Bytes, length: number): Buffer {
  return Buffer.from(random.next(Math.ceil((length * 3) / 4)).toString("base64")).subarray(0, length);
}

/** The tar of one layer. */
function* layerTar({ layers, program, edition = 0 }: LargeImage, number: number): Generator<Buffer> {
  const layer = layers[number];
  if (layer === undefined) throw new Error(`there is no layer ${number}`);
  if (number === 0 && program !== undefined) {
    const content = readFileSync(program);
    yield header("bin/", 0, 0o755, "5");
    yield header("bin/busybox", content.length, 0o755, "0");
    yield content;
    yield padding(content.length);
  }
  const random = new Bytes(`davit bench layer ${number}${edition === 0 ? "" : ` edition ${edition}`}`);
  const made = new Set<string>();
  for (const [index, size] of sizes(random, layer.files, layer.bytes).entries()) {
    const top = directories[Math.floor(random.fraction() * directories.length)] ?? "opt";
    const directory = `${top}/l${number}-${Math.floor(index / 40)}/d${Math.floor(index / 8) % 5}`;
    for (const parent of parents(directory)) {
      if (made.has(parent)) continue;
      made.add(parent);
      yield header(`${parent}/`, 0, 0o755, "5");
    }
    yield header(`${directory}/file-${index}`, size, index % 10 === 0 ? 0o755 : 0o644, "0");
    yield index % 2 === 0 ? text(random, size) : random.next(size);
    yield padding(size);
  }
  yield Buffer.alloc(1024);
}

function parents(path: string): string[] {
  const parts = path.split("/");
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** Writes a docker-archive of the image to `path`. */
export function writeLargeImage(path: string, image: LargeImage): void {
  const { layers, name } = image;
  const diffIds: string[] = [];
  const lengths: number[] = [];
  for (const number of layers.keys()) {
    const hash = createHash("sha256");
    let length = 0;
    for (const part of layerTar(image, number)) {
      hash.update(part);
      length += part.length;
    }
    diffIds.push(hash.digest("hex"));
    lengths.push(length);
  }
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      created: "2024-01-01T00:00:00Z",
      config: { Cmd: ["/bin/true"] },
      rootfs: { type: "layers", diff_ids: diffIds.map((id) => `sha256:${id}`) },
      history: diffIds.map((_, number) => ({
        created: "2024-01-01T00:00:00Z",
        created_by: `layer ${number}`,
      })),
    }),
  );
  const configName = `${createHash("sha256").update(config).digest("hex")}.json`;
  const manifest = Buffer.from(
    JSON.stringify([
      { Config: configName, RepoTags: [name], Layers: diffIds.map((id) => `${id}/layer.tar`) },
    ]),
  );
  const unfinished = `${path}.new`;
  const fd = openSync(unfinished, "w");
  const write = (bytes: Buffer): void => {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  };
  for (const [file, content] of [
    ["manifest.json", manifest],
    [configName, config],
  ] as const) {
    write(header(file, content.length, 0o644, "0"));
    write(content);
    write(padding(content.length));
  }
  for (const [number, id] of diffIds.entries()) {
    write(header(`${id}/`, 0, 0o755, "5"));
    write(header(`${id}/layer.tar`, lengths[number] ?? 0, 0o644, "0"));
    for (const part of layerTar(image, number)) write(part);
  }
  write(Buffer.alloc(1024));
  closeSync(fd);
  renameSync(unfinished, path);
}
