/** Files by path on libc do what node's do. */
import { afterAll, describe, expect, test } from "bun:test";
import * as node from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { LinuxError } from "../../src/core/errors.ts";
import { errnoNumber } from "../../src/linux/errno.ts";
import * as files from "../../src/linux/files.ts";
import { hostName, kernelRelease, processorCount } from "../../src/linux/machine.ts";

const scratch = node.mkdtempSync(join(tmpdir(), "davit-test-files-"));
afterAll(() => node.rmSync(scratch, { recursive: true, force: true }));

let made = 0;
/** A directory of its own. */
function place(): string {
  made += 1;
  const path = join(scratch, String(made));
  node.mkdirSync(path);
  return path;
}

function codeOf(act: () => unknown): string {
  try {
    act();
    return "done";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}

describe("reading", () => {
  test("a whole file, empty, small, of a buffer's size and larger", () => {
    const path = join(place(), "file");
    for (const size of [0, 1, 32767, 32768, 32769, 65536, 3_000_000]) {
      const content = Buffer.alloc(size, "0123456789äöü");
      node.writeFileSync(path, content);
      expect(Buffer.compare(files.readFileSync(path), content)).toBe(0);
      expect(files.readFileSync(path, "latin1")).toBe(content.toString("latin1"));
    }
  });

  test("a file of /proc, whose size says 0", () => {
    expect(files.readFileSync("/proc/self/status", "utf8")).toContain(`Pid:\t${process.pid}\n`);
    expect(files.readFileSync("/proc/kallsyms").length).toBeGreaterThan(100_000);
  });

  test("at a place, and on from where the descriptor stands", () => {
    const path = join(place(), "file");
    node.writeFileSync(path, "0123456789");
    const fd = files.openSync(path, "r");
    const buffer = Buffer.alloc(4);
    expect(files.readSync(fd, buffer, 1, 2)).toBe(2);
    expect(files.readSync(fd, buffer, 0, 1, 7)).toBe(1);
    expect(files.readSync(fd, buffer, 3, 1)).toBe(1);
    expect(buffer.toString("latin1")).toBe("7012");
    expect(files.readSync(fd, buffer, 0, 4, 10)).toBe(0);
    files.closeSync(fd);
  });

  test("what is not there, or is a directory, is told by its errno, call and path", () => {
    const path = join(place(), "none");
    expect(() => files.readFileSync(path)).toThrow(`open ${path}: no such file or directory`);
    expect(() => files.readFileSync(path)).toThrow(LinuxError);
    expect(codeOf(() => files.readFileSync(scratch))).toBe("EISDIR");
    expect(codeOf(() => files.readFileSync(`${scratch}/1/x/y`))).toBe("ENOENT");
  });
});

describe("writing", () => {
  test("makes with the mode, truncates, appends, and refuses what is there when told", () => {
    const path = join(place(), "file");
    files.writeFileSync(path, "one", { mode: 0o640 });
    expect(node.statSync(path).mode & 0o777).toBe(0o640);
    files.writeFileSync(path, Buffer.from("zwei"), { flush: true });
    files.appendFileSync(path, " drei");
    expect(node.readFileSync(path, "utf8")).toBe("zwei drei");
    expect(codeOf(() => files.writeFileSync(path, "", { flag: "wx" }))).toBe("EEXIST");
    expect(node.readFileSync(path, "utf8")).toBe("zwei drei");
  });

  test("at a place and at the descriptor's own", () => {
    const path = join(place(), "file");
    const fd = files.openSync(path, "w");
    expect(files.writeSync(fd, "abcdef")).toBe(6);
    expect(files.writeSync(fd, Buffer.from("xXYx"), 1, 2, 2)).toBe(2);
    expect(files.writeSync(fd, "!")).toBe(1);
    expect(files.writeSync(fd, "")).toBe(0);
    files.ftruncateSync(fd, 6);
    files.fsyncSync(fd);
    files.closeSync(fd);
    expect(node.readFileSync(path, "utf8")).toBe("abXYef");
    files.truncateSync(path, 2);
    expect(node.readFileSync(path, "utf8")).toBe("ab");
  });

  test("descriptors are closed on exec", () => {
    const fd = files.openSync(join(place(), "file"), "w");
    expect(node.readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")).toMatch(/flags:\t02\d{6}/);
    files.closeSync(fd);
  });
});

describe("names", () => {
  test("directories are made as deep as asked, and left where they are", () => {
    const top = place();
    files.mkdirSync(join(top, "a/b/c"), { recursive: true, mode: 0o710 });
    files.mkdirSync(join(top, "a/b/c/"), { recursive: true });
    expect(node.statSync(join(top, "a/b")).mode & 0o777).toBe(0o710);
    node.writeFileSync(join(top, "file"), "");
    node.symlinkSync("a", join(top, "link"));
    files.mkdirSync(join(top, "link"), { recursive: true });
    for (const [name, recursive, code] of [
      ["a", false, "EEXIST"],
      ["file", true, "EEXIST"],
      ["file/x", true, "ENOTDIR"],
      ["x/y", false, "ENOENT"],
    ] as const) {
      expect([name, codeOf(() => files.mkdirSync(join(top, name), { recursive }))]).toEqual([name, code]);
    }
    expect(codeOf(() => files.mkdirSync("", { recursive: true }))).toBe("ENOENT");
  });

  test("are removed, renamed, linked, listed and asked for", () => {
    const top = place();
    const at = (name: string) => join(top, name);
    node.writeFileSync(at("a"), "");
    files.linkSync(at("a"), at("b"));
    files.renameSync(at("b"), at("c"));
    node.symlinkSync("nowhere", at("l"));
    expect(files.readdirSync(top).sort()).toEqual(["a", "c", "l"]);
    expect(files.statSync(at("c")).nlink).toBe(2);
    expect(files.readlinkSync(at("l"))).toBe("nowhere");
    expect([files.existsSync(at("a")), files.existsSync(at("l")), files.existsSync(at("x"))]).toEqual([
      true,
      false,
      false,
    ]);
    expect(codeOf(() => files.rmSync(at("x")))).toBe("ENOENT");
    files.rmSync(at("x"), { force: true });
    files.rmSync(at("x"), { force: true, recursive: true });
    expect(codeOf(() => files.rmSync(at("x"), { recursive: true }))).toBe("ENOENT");
    files.mkdirSync(at("d/e"), { recursive: true });
    expect(codeOf(() => files.rmSync(at("d")))).toBe("EISDIR");
    expect(codeOf(() => files.rmdirSync(at("d")))).toBe("ENOTEMPTY");
    files.rmSync(at("d"), { recursive: true });
    files.unlinkSync(at("l"));
    files.rmSync(at("c"));
    expect(node.readdirSync(top)).toEqual(["a"]);
  });

  test("owner and mode are changed through a symlink, as node does", () => {
    const top = place();
    node.writeFileSync(join(top, "a"), "");
    node.symlinkSync("a", join(top, "l"));
    files.chmodSync(join(top, "l"), 0o1751);
    files.chownSync(join(top, "l"), 7, 8);
    const { mode, uid, gid } = node.statSync(join(top, "a"));
    expect([mode & 0o7777, uid, gid]).toEqual([0o1751, 7, 8]);
    expect(node.lstatSync(join(top, "l")).uid).toBe(0);
  });
});

test("a status says what node's says", () => {
  const path = join(place(), "file");
  node.writeFileSync(path, "x".repeat(5000));
  node.utimesSync(path, 1.5, 1234567890.125);
  for (const what of [path, scratch, "/dev/null"]) {
    const [ours, theirs] = [files.statSync(what), node.statSync(what, { bigint: true })];
    expect([ours.size, ours.mode, ours.nlink, ours.ino, ours.dev & 0xffn, ours.mtimeNs]).toEqual([
      Number(theirs.size),
      Number(theirs.mode),
      Number(theirs.nlink),
      theirs.ino,
      theirs.dev & 0xffn,
      theirs.mtimeNs,
    ]);
    expect([ours.blocks, ours.isFile(), ours.isDirectory(), ours.isSocket()]).toEqual([
      Number(theirs.blocks),
      theirs.isFile(),
      theirs.isDirectory(),
      theirs.isSocket(),
    ]);
  }
  expect(files.statSync(path).mtimeMs).toBe(1234567890125);
  expect(Math.abs(files.statSync(path).birthtimeMs - Date.now())).toBeLessThan(60_000);
  expect(files.statSync(join(path, "..", "none"), { throwIfNoEntry: false })).toBeUndefined();
  expect(codeOf(() => files.statSync(`${path}/x`, { throwIfNoEntry: false }))).toBe("ENOTDIR");
});

test("the numbers of errno are the system's", () => {
  const theirs: Record<string, number> = { ...constants.errno };
  for (const [name, number] of Object.entries(errnoNumber))
    expect([name, theirs[name]]).toEqual([name, number]);
});

test("the machine is told as the tools tell it", () => {
  const say = (...command: string[]) => Bun.spawnSync(command).stdout.toString().trim();
  expect([kernelRelease(), hostName(), String(processorCount())]).toEqual([
    say("uname", "-r"),
    say("uname", "-n"),
    say("nproc"),
  ]);
});
