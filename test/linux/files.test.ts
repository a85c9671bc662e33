import { describe, expect, test } from "bun:test";
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { LinuxError } from "../../src/core/errors.ts";
import { readDirectory, removeTree } from "../../src/linux/directories.ts";
import { fileSystemStatus, syncFileSystem } from "../../src/linux/disks.ts";
import {
  changeOwnerAt,
  deviceNumber,
  linkDescriptor,
  makeDirectoryAt,
  makeNodeAt,
  nextData,
  nodeType,
  readSymlinkAt,
  setTimesAt,
  statusAt,
  truncate,
  tryStatusAt,
  writeAt,
} from "../../src/linux/nodes.ts";
import {
  closeFile,
  OpenFile,
  openAt,
  openDirectory,
  openFlag,
  openInRoot,
  openResolved,
  pathBytes,
  pathText,
  resolve,
} from "../../src/linux/paths.ts";
import { walkTree } from "../../src/linux/walk.ts";
import { getXattr, listXattrs, removeXattr, setXattr } from "../../src/linux/xattrs.ts";
import { Scratch } from "../layers/scratch.ts";

describe("names as bytes", () => {
  test("any bytes survive the way through a string", () => {
    for (const hex of ["61", "c3a9", "ff", "61ff62", "edb080", "f09f9880", "c3a9ff"]) {
      const bytes = Buffer.from(hex, "hex");
      expect(Buffer.from(pathBytes(pathText(bytes))).toString("hex")).toBe(`${hex}00`);
    }
  });

  test("a file whose name is not UTF-8 is listed, opened and removed", () => {
    using scratch = new Scratch();
    const directory = scratch.directory("d");
    writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0x80])]), "content");
    using fd = new OpenFile(openDirectory(directory));
    const [entry] = readDirectory(fd.fd);
    expect(entry?.name).toBe("\udcff\udc80");
    using file = new OpenFile(openAt(fd.fd, entry?.name ?? "", openFlag.readOnly));
    expect(readFileSync(file.fd, "utf8")).toBe("content");
    removeTree(directory);
    expect(existsSync(directory)).toBe(false);
  });
});

describe("paths that the kernel resolves", () => {
  test("in a root, absolute symlinks and .. stay inside", () => {
    using scratch = new Scratch();
    const root = scratch.directory("root");
    mkdirSync(join(root, "etc"));
    writeFileSync(join(root, "etc/hostname"), "inside");
    symlinkSync("/etc/hostname", join(root, "absolute"));
    symlinkSync("../../../../etc/hostname", join(root, "up"));
    using fd = new OpenFile(openDirectory(root));
    for (const path of ["absolute", "up", "/etc/hostname", "../../etc/hostname"]) {
      using file = new OpenFile(openInRoot(fd.fd, path, openFlag.readOnly));
      expect(readFileSync(file.fd, "utf8")).toBe("inside");
    }
  });

  test("beneath, without symlinks, without magic links: each is refused with its errno", () => {
    using scratch = new Scratch();
    const root = scratch.directory("root");
    symlinkSync("etc", join(root, "link"));
    mkdirSync(join(root, "etc"));
    using fd = new OpenFile(openDirectory(root));
    const code = (path: string, how: number) => {
      try {
        closeFile(openResolved(fd.fd, path, openFlag.path, how));
        return "opened";
      } catch (error) {
        return error instanceof LinuxError ? error.code : error;
      }
    };
    expect(code("../root", resolve.beneath)).toBe("EXDEV");
    expect(code("/etc", resolve.beneath)).toBe("EXDEV");
    expect(code("link", resolve.beneath)).toBe("opened");
    expect(code("link", resolve.beneath | resolve.noSymlinks)).toBe("ELOOP");
    expect(code("missing", resolve.beneath)).toBe("ENOENT");
    using proc = new OpenFile(openDirectory("/proc"));
    expect(() => openInRoot(proc.fd, "self/root", openFlag.path)).toThrow(/symbolic links/);
  });

  test("a failure names the call, the path and the errno", () => {
    expect(() => openDirectory("/nowhere/at/all")).toThrow("open /nowhere/at/all: no such file or directory");
  });
});

describe("nodes", () => {
  test("times keep their nanoseconds, also before 1970", () => {
    using scratch = new Scratch();
    writeFileSync(scratch.file("f"), "");
    using fd = new OpenFile(openDirectory(scratch.path));
    for (const time of [0n, 1n, 1_700_000_000_123_456_789n, -1n, -1_500_000_000n]) {
      setTimesAt(fd.fd, "f", time, time - 7n);
      const { atime, mtime } = statusAt(fd.fd, "f");
      expect([atime, mtime]).toEqual([time, time - 7n]);
      expect(lstatSync(scratch.file("f"), { bigint: true }).mtimeNs).toBe(time - 7n);
    }
  });

  test("device numbers beyond eight bits are kept", () => {
    using scratch = new Scratch();
    using fd = new OpenFile(openDirectory(scratch.path));
    for (const [major, minor] of [
      [1, 3],
      [259, 70_000],
      [4095, 1_048_575],
    ] as const) {
      const name = `${major}-${minor}`;
      makeNodeAt(fd.fd, name, nodeType.characterDevice | 0o600, deviceNumber(major, minor));
      const { deviceMajor, deviceMinor } = statusAt(fd.fd, name);
      expect([deviceMajor, deviceMinor]).toEqual([major, minor]);
    }
  });

  test("status tells what node's lstat tells, and undefined for what is not there", () => {
    using scratch = new Scratch();
    symlinkSync("x".repeat(100), scratch.file("link"));
    using fd = new OpenFile(openDirectory(scratch.path));
    changeOwnerAt(fd.fd, "link", 4_000_000_000, 7);
    const expected = lstatSync(scratch.file("link"), { bigint: true });
    const status = statusAt(fd.fd, "link");
    expect(BigInt(status.mode)).toBe(expected.mode);
    expect([status.uid, status.gid, status.size]).toEqual([4_000_000_000, 7, 100]);
    expect(status.inode).toBe(expected.ino);
    expect(status.mtime).toBe(expected.mtimeNs);
    expect(readSymlinkAt(fd.fd, "link")).toBe("x".repeat(100));
    expect(tryStatusAt(fd.fd, "missing")).toBeUndefined();
    expect(statusAt(fd.fd, "").inode).toBe(lstatSync(scratch.path, { bigint: true }).ino);
  });

  test("a descriptor of a file gets another name", () => {
    using scratch = new Scratch();
    writeFileSync(scratch.file("f"), "content");
    using fd = new OpenFile(openDirectory(scratch.path));
    using file = new OpenFile(openAt(fd.fd, "f", openFlag.path));
    linkDescriptor(file.fd, fd.fd, "g");
    expect(statSync(scratch.file("g")).nlink).toBe(2);
  });

  test("runs of data between holes are found", () => {
    using scratch = new Scratch();
    using fd = new OpenFile(openDirectory(scratch.path));
    using file = new OpenFile(openAt(fd.fd, "f", openFlag.readWrite | openFlag.create, 0o600));
    writeAt(file.fd, Buffer.alloc(10, "x"), 1 << 20);
    truncate(file.fd, 4 << 20);
    const run = nextData(file.fd, 0);
    expect(run?.start).toBe(1 << 20);
    expect(nextData(file.fd, run?.end ?? 0)).toBeUndefined();
  });
});

describe("extended attributes", () => {
  test("are set, read, listed and removed, empty and large ones too", () => {
    using scratch = new Scratch();
    const path = scratch.file("f");
    writeFileSync(path, "");
    setXattr(path, "user.empty", new Uint8Array(0));
    setXattr(path, "trusted.bytes", Buffer.from([0, 1, 2, 255]));
    expect(listXattrs(path).sort()).toEqual(["trusted.bytes", "user.empty"]);
    expect(getXattr(path, "user.empty")).toEqual(new Uint8Array(0));
    expect(Buffer.from(getXattr(path, "trusted.bytes") ?? []).toString("hex")).toBe("000102ff");
    expect(getXattr(path, "user.missing")).toBeUndefined();
    removeXattr(path, "user.empty");
    removeXattr(path, "user.empty");
    expect(listXattrs(path)).toEqual(["trusted.bytes"]);
  });

  test("of a symlink are its own, not its target's", () => {
    using scratch = new Scratch();
    writeFileSync(scratch.file("f"), "");
    symlinkSync("f", scratch.file("link"));
    setXattr(scratch.file("link"), "trusted.on", Buffer.from("link"));
    expect(listXattrs(scratch.file("f"))).toEqual([]);
    expect(listXattrs(scratch.file("link"))).toEqual(["trusted.on"]);
  });
});

describe("trees", () => {
  test("removing follows no symlink", () => {
    using scratch = new Scratch();
    mkdirSync(scratch.file("outside"));
    writeFileSync(scratch.file("outside/kept"), "kept");
    mkdirSync(scratch.file("tree/inner"), { recursive: true });
    symlinkSync(scratch.file("outside"), scratch.file("tree/inner/link"));
    symlinkSync(scratch.file("tree"), scratch.file("alias"));
    removeTree(scratch.file("alias"));
    expect(existsSync(scratch.file("tree/inner"))).toBe(true);
    removeTree(scratch.file("tree"));
    removeTree(scratch.file("tree"));
    expect(readdirSync(scratch.path)).toEqual(["outside"]);
    expect(readFileSync(scratch.file("outside/kept"), "utf8")).toBe("kept");
  });

  test("one deeper than any path is walked and removed", () => {
    using scratch = new Scratch();
    let fd = openDirectory(scratch.directory("deep"));
    for (let level = 0; level < 2100; level += 1) {
      makeDirectoryAt(fd, "d", 0o755);
      const inner = openAt(fd, "d", openFlag.readOnly | openFlag.directory);
      closeFile(fd);
      fd = inner;
    }
    closeFile(fd);
    let nodes = 0;
    for (const { name } of walkTree(scratch.file("deep"))) nodes += name === "d" ? 1 : 0;
    expect(nodes).toBe(2100);
    removeTree(scratch.file("deep"));
    expect(existsSync(scratch.file("deep"))).toBe(false);
    // Slow where a file system gives each freed block back to the disk at once.
  }, 60_000);

  test("a walk is sorted, gives directories first, and may be left early", () => {
    using scratch = new Scratch();
    for (const path of ["b/y", "b/x/1", "a", "c"]) {
      mkdirSync(join(scratch.path, path, ".."), { recursive: true });
      writeFileSync(scratch.file(path), "");
    }
    linkSync(scratch.file("a"), scratch.file("b/link"));
    expect([...walkTree(scratch.path)].map((node) => node.path)).toEqual([
      "a",
      "b",
      "b/link",
      "b/x",
      "b/x/1",
      "b/y",
      "c",
    ]);
    const before = readdirSync("/proc/self/fd").length;
    for (const { path } of walkTree(scratch.path)) if (path === "b/x/1") break;
    expect(readdirSync("/proc/self/fd")).toHaveLength(before);
  });
});

test("a file system tells its free space and is synced", () => {
  using scratch = new Scratch();
  const status = fileSystemStatus(scratch.path);
  expect(status.freeBytes).toBeGreaterThan(0);
  expect(status.totalBytes).toBeGreaterThan(status.freeBytes);
  syncFileSystem(scratch.path);
  expect(() => syncFileSystem(scratch.file("missing"))).toThrow(LinuxError);
});
