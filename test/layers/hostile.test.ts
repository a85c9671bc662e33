import { describe, expect, test } from "bun:test";
import { existsSync, lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type ApplyOptions, applyLayer } from "../../src/images/layers/apply.ts";
import { fileSystemStatus } from "../../src/linux/disks.ts";
import { mount, unmountIfMounted } from "../../src/linux/mounts.ts";
import { getXattr } from "../../src/linux/xattrs.ts";
import { archive, type HandEntry, member, reseal, stream } from "./archives.ts";
import { Scratch } from "./scratch.ts";

/** A root to unpack into, with things beside it that must stay as they are. */
class Target implements Disposable {
  readonly scratch = new Scratch();
  readonly root = this.scratch.directory("jail/root");
  readonly #outside = this.scratch.directory("jail/outside");

  constructor() {
    writeFileSync(join(this.#outside, "canary"), "untouched");
  }

  apply(bytes: Uint8Array, options: ApplyOptions & { whiteouts?: "overlay" | "delete" } = {}) {
    return applyLayer(stream(bytes), { path: this.root, whiteouts: options.whiteouts ?? "overlay" }, options);
  }

  at(path: string): string {
    return join(this.root, path);
  }

  get outside(): string {
    return this.#outside;
  }

  /** Nothing but the root has changed. */
  expectContained(): void {
    expect(readdirSync(this.scratch.path)).toEqual(["jail"]);
    expect(readdirSync(join(this.scratch.path, "jail")).sort()).toEqual(["outside", "root"]);
    expect(readdirSync(this.#outside)).toEqual(["canary"]);
    expect(readFileSync(join(this.#outside, "canary"), "utf8")).toBe("untouched");
  }

  [Symbol.dispose](): void {
    this.expectContained();
    this.scratch[Symbol.dispose]();
  }
}

const file = (name: string, content = "evil"): HandEntry => ({ name, type: "file", content });

describe("names that lead out of the root", () => {
  for (const name of [
    "../outside/x",
    "..",
    "a/../../outside/x",
    "./../x",
    "../../../../../../../tmp/davit-test-escape",
  ]) {
    test(`${name} is refused and named`, async () => {
      using target = new Target();
      await expect(target.apply(archive(file(name)))).rejects.toThrow(
        `invalid path: ${JSON.stringify(name)} is outside of "/"`,
      );
    });
  }

  test("an absolute name counts from the root", async () => {
    using target = new Target();
    await target.apply(archive(file("/etc/evil"), file("/../../up")));
    expect(readFileSync(target.at("etc/evil"), "utf8")).toBe("evil");
    expect(readFileSync(target.at("up"), "utf8")).toBe("evil");
  });

  for (const link of ["/", "..", "../outside", "../../..", "/proc/self/root", "/proc/self/cwd"]) {
    for (const whiteouts of ["overlay", "delete"] as const) {
      test(`a file through a symlink to ${link} stays inside (${whiteouts})`, async () => {
        using target = new Target();
        const bytes = archive(
          { name: "door", type: "symlink", linkName: link },
          file("door/canary"),
          file("door/new/deep"),
        );
        await target.apply(bytes, { whiteouts });
        target.expectContained();
      });
    }
  }

  test("a symlink that was there before the layer leads nowhere else either", async () => {
    using target = new Target();
    symlinkSync(target.outside, target.at("door"));
    await target.apply(archive(file("door/canary"), file("door/x")), { whiteouts: "delete" });
    expect(readFileSync(target.at(`${target.outside}/x`), "utf8")).toBe("evil");
  });

  test("a file entry replaces a symlink instead of writing through it", async () => {
    using target = new Target();
    const canary = join(target.outside, "canary");
    await target.apply(archive({ name: "door", type: "symlink", linkName: canary }, file("door")));
    expect(lstatSync(target.at("door")).isFile()).toBe(true);
  });

  test("a directory entry over a symlink does not change what that points to", async () => {
    using target = new Target();
    const before = lstatSync(target.outside);
    await target.apply(
      archive(
        { name: "door", type: "symlink", linkName: target.outside },
        { name: "door/", type: "directory", mode: 0o777, uid: 1234 },
      ),
    );
    expect(lstatSync(target.at("door")).isDirectory()).toBe(true);
    expect(lstatSync(target.outside).uid).toBe(before.uid);
  });

  test("symlinks in a circle are refused", async () => {
    using target = new Target();
    const bytes = archive(
      { name: "a", type: "symlink", linkName: "b" },
      { name: "b", type: "symlink", linkName: "a" },
      file("a/x"),
    );
    await expect(target.apply(bytes)).rejects.toThrow('invalid path: "a": too many levels of symbolic links');
  });

  test("symlinks that make each other's targets do not go on for ever", async () => {
    using target = new Target();
    const bytes = archive({ name: "a", type: "symlink", linkName: "q/../a" }, file("a/x"));
    await expect(target.apply(bytes)).rejects.toThrow("invalid path");
  });

  test("a symlink to a directory that does not exist yet is followed inside the root", async () => {
    using target = new Target();
    await target.apply(
      archive({ name: "lib", type: "symlink", linkName: "usr/lib" }, file("lib/so", "text")),
    );
    expect(readFileSync(target.at("usr/lib/so"), "utf8")).toBe("text");
  });

  for (const linkName of [
    "../outside/canary",
    "../../../../../../etc/passwd",
    "",
    ".",
    "nowhere",
    "door/canary",
  ]) {
    test(`a hard link to ${JSON.stringify(linkName)} is refused and named`, async () => {
      using target = new Target();
      const bytes = archive(
        { name: "door", type: "symlink", linkName: target.outside },
        { name: "link", type: "hard-link", linkName },
      );
      await expect(target.apply(bytes)).rejects.toThrow(
        `invalid hardlink "link" -> ${JSON.stringify(linkName)}`,
      );
    });
  }

  test("a hard link to a symlink links the symlink, not what it points to", async () => {
    using target = new Target();
    const canary = join(target.outside, "canary");
    await target.apply(
      archive(
        { name: "s", type: "symlink", linkName: canary },
        { name: "h", type: "hard-link", linkName: "s" },
      ),
    );
    expect(lstatSync(target.at("h")).isSymbolicLink()).toBe(true);
    expect(lstatSync(join(target.outside, "canary")).nlink).toBe(1);
  });

  for (const name of [".wh...", ".wh..", ".wh.", "a/.wh..."]) {
    for (const whiteouts of ["overlay", "delete"] as const) {
      test(`the whiteout ${name} is refused (${whiteouts})`, async () => {
        using target = new Target();
        await expect(target.apply(archive(file("a/b"), file(name, "")), { whiteouts })).rejects.toThrow(
          "is not the whiteout of a name",
        );
      });
    }
  }

  test("a whiteout through a symlink deletes nothing outside", async () => {
    using target = new Target();
    symlinkSync(target.outside, target.at("door"));
    symlinkSync("../outside", target.at("hatch"));
    await target.apply(
      archive(file("door/.wh.canary", ""), file("hatch/.wh.canary", ""), file("hatch/.wh..wh..opq", "")),
      { whiteouts: "delete" },
    );
  });

  test("overlay's own marks in a layer's xattrs are left out", async () => {
    using target = new Target();
    const xattrs = new Map([
      ["trusted.overlay.redirect", Buffer.from("/../../etc")],
      ["trusted.overlay.opaque", Buffer.from("y")],
      ["user.kept", Buffer.from("1")],
    ]);
    await target.apply(archive({ name: "d/", type: "directory", xattrs }));
    expect(getXattr(target.at("d"), "trusted.overlay.redirect")).toBeUndefined();
    expect(getXattr(target.at("d"), "trusted.overlay.opaque")).toBeUndefined();
    expect(Buffer.from(getXattr(target.at("d"), "user.kept") ?? []).toString()).toBe("1");
  });
});

describe("archives that are damaged", () => {
  const whole = archive(file("first", "1".repeat(3000)), file("second", "2"));

  for (const [what, length] of [
    ["in a header", 200],
    ["in a file", 1500],
    ["in the padding of a file", 512 + 3000 + 10],
    ["in the second header", 512 + 3072 + 100],
  ] as const) {
    test(`one that ends ${what} is refused: unexpected EOF`, async () => {
      using target = new Target();
      await expect(target.apply(whole.subarray(0, length))).rejects.toThrow(/^unexpected EOF$/);
    });
  }

  test("a gzip stream that ends early, and one that is damaged, are refused", async () => {
    using target = new Target();
    const packed = gzipSync(Buffer.concat([whole, crypto.getRandomValues(Buffer.alloc(20_000))]));
    await expect(target.apply(packed.subarray(0, packed.length / 2))).rejects.toThrow(/^unexpected EOF$/);
    const bad = Buffer.from(packed);
    bad.fill(0xff, 30, 60);
    await expect(target.apply(bad)).rejects.toThrow("gzip: the data is damaged");
  });

  test("a wrong checksum, and what is not an archive at all, are refused", async () => {
    using target = new Target();
    const bad = Buffer.from(whole);
    bad[3] = 0x21;
    await expect(target.apply(bad)).rejects.toThrow("archive/tar: invalid tar header");
    await expect(target.apply(Buffer.alloc(2048, "not a tar "))).rejects.toThrow(
      "archive/tar: invalid tar header",
    );
  });

  test("a size that is negative or beyond all disks is refused", async () => {
    using target = new Target();
    for (const size of ["ffffffffffffffffffffffff", "80ffffffffffffffffffffff"]) {
      const bad = Buffer.from(whole);
      bad.set(Buffer.from(size, "hex"), 124);
      await expect(target.apply(reseal(bad))).rejects.toThrow("archive/tar: invalid tar header");
    }
  });

  test("an unknown kind of entry is refused and named", async () => {
    using target = new Target();
    const bad = Buffer.from(whole);
    bad[156] = "V".charCodeAt(0);
    await expect(target.apply(reseal(bad))).rejects.toThrow('unhandled tar header type 86 of "first"');
  });

  test("a PAX header of many megabytes is refused before it is read into memory", async () => {
    using target = new Target();
    const huge = member({ name: "x", type: "file", size: 1 << 30 });
    huge[156] = "x".charCodeAt(0);
    await expect(target.apply(reseal(huge))).rejects.toThrow("archive/tar: header field too long");
  });

  for (const body of [
    "8 path=x\n",
    "99999 path=x\n",
    "x path=a\n",
    "10 path\n",
    " ",
    "18446744073709551616 a=b\n",
    "0 a=b\n",
  ]) {
    test(`the PAX record ${JSON.stringify(body)} is refused`, async () => {
      using target = new Target();
      const pax = member({ name: "x", type: "file", content: body });
      pax[156] = "x".charCodeAt(0);
      const bytes = Buffer.concat([reseal(pax), whole]);
      await expect(target.apply(bytes)).rejects.toThrow("archive/tar: invalid tar header");
    });
  }

  test("a sparse map that is out of order, beyond the file or too long is refused", async () => {
    using target = new Target();
    for (const sparse of [
      [
        { offset: 10, length: 5 },
        { offset: 3, length: 5 },
      ],
      [{ offset: 5000, length: 10 }],
    ]) {
      const bytes = archive({ name: "s", type: "file", size: 1000, sparse, content: "0123456789" });
      await expect(target.apply(bytes)).rejects.toThrow("archive/tar: invalid tar header");
    }
    const map = Buffer.from(`${"9".repeat(14)}\n${"1\n".repeat(1 << 20)}`);
    const header = Buffer.from(archive({ name: "s", type: "file", size: 1 << 22, sparse: [] }));
    const body = header.subarray(0, header.length - 1024 - 512);
    body.write(`${(1 << 22).toString(8).padStart(11, "0")}`, body.length - 512 + 124, "latin1");
    reseal(body.subarray(body.length - 512));
    await expect(target.apply(Buffer.concat([body, map, Buffer.alloc(1 << 22)]))).rejects.toThrow(
      "archive/tar: header field too long",
    );
  });

  test("a name longer than any path is refused", async () => {
    using target = new Target();
    await expect(target.apply(archive(file(`${"a/".repeat(5000)}x`)))).rejects.toThrow("file name too long");
    await expect(target.apply(archive(file("n".repeat(300))))).rejects.toThrow("file name too long");
  });

  test("bzip2 and xz are refused by name", async () => {
    using target = new Target();
    await expect(target.apply(Buffer.from("BZh91AY&SY"))).rejects.toThrow(
      "bzip2 compression is not supported",
    );
    await expect(target.apply(Buffer.from("fd377a585a0000", "hex"))).rejects.toThrow(
      "xz compression is not supported",
    );
  });
});

describe("archives that want too much", () => {
  test("more entries than allowed are refused", async () => {
    using target = new Target();
    const many = archive(...Array.from({ length: 101 }, (_, index) => file(`f${index}`, "")));
    await expect(target.apply(many, { limits: { entries: 100, bytes: 1e9 } })).rejects.toThrow(
      "the layer holds more than 100 entries",
    );
  });

  test("more bytes than allowed are refused", async () => {
    using target = new Target();
    const big = archive(file("big", "x".repeat(2000)));
    await expect(target.apply(big, { limits: { entries: 10, bytes: 1999 } })).rejects.toThrow(
      "unpacks to more than 1999 bytes",
    );
  });

  test("ten gigabytes of zeros take no space", async () => {
    using target = new Target();
    const size = 10 * 2 ** 30;
    async function* zeros(): AsyncGenerator<Uint8Array> {
      yield member({ name: "zeros", type: "file", size });
      const chunk = new Uint8Array(1 << 24);
      for (let sent = 0; sent < size; sent += chunk.length) yield chunk;
      yield new Uint8Array(1024);
    }
    await applyLayer(zeros(), { path: target.root, whiteouts: "overlay" });
    const { size: apparent, blocks } = lstatSync(target.at("zeros"));
    expect(apparent).toBe(size);
    expect(blocks).toBeLessThan(100);
  }, 60_000);

  test("a layer larger than the file system stops before that is full", async () => {
    using target = new Target();
    const small = target.scratch.directory("jail/root/small");
    mount("tmpfs", small, "tmpfs", 0, "size=128m");
    try {
      async function* noise(): AsyncGenerator<Uint8Array> {
        yield member({ name: "noise", type: "file", size: 2 ** 30 });
        const chunk = crypto.getRandomValues(Buffer.alloc(1 << 16));
        for (let sent = 0; sent < 2 ** 30; sent += chunk.length) yield chunk;
      }
      await expect(applyLayer(noise(), { path: small, whiteouts: "overlay" })).rejects.toThrow(
        'write "noise": no space left on device',
      );
      expect(fileSystemStatus(small).freeBytes).toBeGreaterThan(0);
    } finally {
      unmountIfMounted(small);
    }
  });

  test("directories nested deeper than descriptors can be held are made and removed again", async () => {
    using target = new Target();
    const deep = "d/".repeat(1900);
    await target.apply(archive(file(`${deep}x`, "bottom")));
    expect(existsSync(target.at(`${deep}x`))).toBe(true);
  }, 60_000);

  test("an abort stops it", async () => {
    using target = new Target();
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let index = 0; ; index += 1) {
        if (index === 100) controller.abort();
        yield member(file(`f${index}`));
      }
    }
    await expect(
      applyLayer(endless(), { path: target.root, whiteouts: "overlay" }, { signal: controller.signal }),
    ).rejects.toThrow("aborted");
  });
});
