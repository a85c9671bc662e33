/** What ADD unpacks, and what it takes for something else. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { messageOf } from "../../src/core/errors.ts";
import { decompress } from "../../src/images/layers/compression.ts";
import { decompressWithProgram } from "../../src/images/layers/programs.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

const missing = ["xz", "bzip2"].filter((program) => Bun.which(program) === null);
if (missing.length > 0)
  console.warn(`SKIPPED: archives that ${missing.join(" and ")} compress: not installed`);
const searchPath = process.env.PATH ?? "";

let workshop: Workshop;
let scratch = "";
beforeAll(async () => {
  workshop = await openWorkshop();
  scratch = mkdtempSync(join(tmpdir(), "davit-test-archives-"));
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

function run(command: string[], options: { cwd?: string; stdin?: Uint8Array } = {}): Uint8Array {
  const { success, stdout, stderr } = Bun.spawnSync(command, { ...options, stdout: "pipe", stderr: "pipe" });
  if (!success) throw new Error(stderr.toString());
  return stdout;
}

/** A context with these files beside its Dockerfile, and a tar of `etc/word`. */
function contextWith(
  dockerfile: string,
  files: (tar: Uint8Array) => Record<string, Uint8Array | string>,
): string {
  const tree = mkdtempSync(join(scratch, "tree-"));
  mkdirSync(join(tree, "etc"));
  writeFileSync(join(tree, "etc/word"), "from the archive\n");
  const tar = run(["tar", "-C", tree, "-c", "etc"]);
  const context = mkdtempSync(join(scratch, "context-"));
  writeFileSync(join(context, "Dockerfile"), dockerfile);
  for (const [name, content] of Object.entries(files(tar))) writeFileSync(join(context, name), content);
  return context;
}

async function built(context: string): Promise<string> {
  const directory = mkdtempSync(join(scratch, "out-"));
  await workshop.build(context, { outputs: [{ kind: "local", directory }] });
  return directory;
}

describe("ADD", () => {
  test.skipIf(missing.length > 0)("unpacks what bzip2 and xz have compressed", async () => {
    const context = contextWith("FROM scratch\nADD a.tar.bz2 /bz2/\nADD a.tar.xz /xz/\n", (tar) => ({
      "a.tar.bz2": run(["bzip2", "-c"], { stdin: tar }),
      "a.tar.xz": run(["xz", "-c"], { stdin: tar }),
    }));
    const directory = await built(context);
    for (const name of ["bz2", "xz"]) {
      expect(readFileSync(join(directory, name, "etc/word"), "utf8")).toBe("from the archive\n");
    }
  });

  test("copies what is compressed and no archive, and what only begins as if it were compressed", async () => {
    const word = gzipSync("just a word\n");
    const context = contextWith("FROM scratch\nADD word.gz broken.gz empty /\n", () => ({
      "word.gz": word,
      "broken.gz": Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3]),
      empty: "",
    }));
    const directory = await built(context);
    expect(readdirSync(directory).sort()).toEqual(["broken.gz", "empty", "word.gz"]);
    expect(readFileSync(join(directory, "word.gz")).equals(word)).toBe(true);
  });

  test("says when an archive is damaged further in", async () => {
    const context = contextWith("FROM scratch\nADD cut.tar.gz /\n", (tar) => {
      const packed = gzipSync(Buffer.concat([tar, crypto.getRandomValues(Buffer.alloc(60_000))]));
      return { "cut.tar.gz": packed.subarray(0, packed.length - 40_000) };
    });
    const { error } = await workshop.tryBuild(context);
    expect(messageOf(error)).toMatch(/unexpected EOF|ends|damaged/);
  });
});

describe.skipIf(missing.length > 0)("programs that decompress", () => {
  const collect = async (stream: AsyncIterable<Uint8Array>) => Buffer.concat(await Array.fromAsync(stream));
  const bytes = crypto.getRandomValues(Buffer.alloc(65_536)).toString("hex");
  const text = Buffer.from(bytes);

  test.each(["bzip2", "xz"] as const)("%s reads files and streams", async (compression) => {
    const packed = run([compression, "-c"], { stdin: text });
    const path = join(scratch, `text.${compression}`);
    writeFileSync(path, packed);
    expect((await collect(decompressWithProgram(compression, { path }, { searchPath }))).equals(text)).toBe(
      true,
    );
    async function* pieces() {
      for (let at = 0; at < packed.length; at += 1000) yield packed.subarray(at, at + 1000);
    }
    const { compression: found, stream } = await decompress(pieces(), { searchPath });
    expect(found).toBe(compression);
    expect((await collect(stream)).equals(text)).toBe(true);
    // Without a path nothing is started: layers have no such form.
    await expect(decompress({ path })).rejects.toThrow(`${compression} compression is not supported`);
  });

  test.each(["bzip2", "xz"] as const)("%s tells of damage", async (compression) => {
    const packed = Buffer.from(run([compression, "-c"], { stdin: text }));
    const path = join(scratch, `damaged.${compression}`);
    for (const damaged of [
      packed.subarray(0, packed.length >> 1),
      Buffer.concat([packed.subarray(0, 60), packed]),
    ]) {
      writeFileSync(path, damaged);
      await expect(collect(decompressWithProgram(compression, { path }, { searchPath }))).rejects.toThrow(
        `${compression}: the data is damaged`,
      );
    }
  });

  test("end when nobody reads on, or the work is aborted", async () => {
    const zeros = run(["sh", "-c", "head -c 30000000 /dev/zero | xz -1 -c"]);
    const path = join(scratch, "zeros.xz");
    writeFileSync(path, zeros);
    let read = 0;
    for await (const chunk of decompressWithProgram("xz", { path }, { searchPath })) {
      read += chunk.length;
      if (read > 1_000_000) break;
    }
    expect(read).toBeLessThan(20_000_000);
    const abort = new AbortController();
    const reading = (async () => {
      for await (const _ of decompressWithProgram("xz", { path }, { searchPath, signal: abort.signal })) {
        abort.abort(new Error("enough"));
      }
    })();
    await expect(reading).rejects.toThrow("enough");
  });

  test("run without the rights of root", async () => {
    const directory = mkdtempSync(join(scratch, "path-"));
    writeFileSync(join(directory, "xz"), "#!/bin/sh\nexec id -u\n", { mode: 0o755 });
    for (const each of [scratch, directory]) Bun.spawnSync(["chmod", "755", each]);
    const path = join(scratch, "any.xz");
    writeFileSync(path, "");
    const stream = decompressWithProgram("xz", { path }, { searchPath: `${directory}:${searchPath}` });
    expect((await collect(stream)).toString()).toBe(
      process.getuid?.() === 0 ? "65534\n" : `${process.getuid?.()}\n`,
    );
  });

  test("that are not installed are named", async () => {
    const stream = decompressWithProgram("xz", { path: "/dev/null" }, { searchPath: "/nonexistent" });
    await expect(collect(stream)).rejects.toThrow(
      "xz is not installed, which this archive needs (apt-get install xz-utils)",
    );
  });
});
