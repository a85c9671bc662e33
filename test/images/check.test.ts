/** `system check`: each kind of damage is found, named with its images, and repaired. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type Digest, parseDigest } from "../../src/core/ids.ts";
import type { StorageCheck, StorageFault } from "../../src/core/objects.ts";
import { checkImages, type FetchBlob } from "../../src/images/check.ts";
import { compareEntries } from "../../src/images/check-entries.ts";
import { removeTree } from "../../src/linux/directories.ts";
import { removeXattr, setXattr } from "../../src/linux/xattrs.ts";
import { type LoopDisk, loopDisk, missingForLoopDisk } from "../storage/loop-disk.ts";
import { dockerArchive, expectEmpty, fileLayer, load, type TestStore, testStore } from "./support.ts";
import { tar } from "./tar.ts";

const base = tar([
  { name: "etc/", type: "5" },
  { name: "etc/passwd", data: "root:x:0:0\n" },
  { name: "etc/group", data: "root:x:0\n" },
  { name: "etc/also", type: "1", link: "etc/group" },
  { name: "bin/", type: "5", mode: 0o711 },
  { name: "bin/sh", data: "x".repeat(300_000), mode: 0o4755 },
  { name: "bin/link", type: "2", link: "sh" },
  { name: "implied/by/name", data: "the directories above are in no entry" },
  { name: "gone/", type: "5" },
  { name: "gone/file", data: "gone" },
]);
const upper = tar([
  { name: "etc/passwd", data: "root:x:0:0\nme:x:1:1\n" },
  { name: "gone/.wh.file" },
  { name: "implied/more", data: "more" },
  { name: "bin/.wh..wh..opq" },
  { name: "bin/busybox", data: "busybox" },
]);
const app = { layers: [base, upper], tags: ["app:1"] };
const other = { layers: [base, fileLayer("other", "other")], tags: ["other:1"], pack: gzipSync };

const nowhere: FetchBlob = (_, name) => {
  throw new Error(`${name} is not reachable`);
};

async function check(
  store: TestStore,
  options: { repair?: boolean; fetchBlob?: FetchBlob } = {},
): Promise<StorageCheck> {
  return await checkImages(store, {
    repair: options.repair ?? false,
    fetchBlob: options.fetchBlob ?? nowhere,
    report: () => {},
    signal: new AbortController().signal,
  });
}

/** What a user is told, without ids. */
function told(faults: readonly StorageFault[]): Omit<StorageFault, "ID">[] {
  return faults.map(({ ID: _, ...rest }) => rest);
}

/** The chain ids of an image, bottom first. */
function chainOf(store: TestStore, tag: string): string[] {
  return store.state.db
    .query<{ chain_id: string }, [string]>(
      `SELECT chain_id FROM image_layers JOIN tags USING (image_id) WHERE reference = ? ORDER BY position`,
    )
    .all(`docker.io/library/${tag}`)
    .map(({ chain_id }) => chain_id);
}

async function treeOf(store: TestStore, chainId: string): Promise<string> {
  return (await store.snapshots.layerTarget(chainId)).path;
}

/** Changes one bit, and not the time. */
function flipBit(path: string): void {
  const { atime, mtime } = statSync(path);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
}

/** The store's blobs as they are now, as a registry would give them. */
function copyOfBlobs(store: TestStore): FetchBlob {
  const copies = new Map(
    store.content.list().map((digest) => [digest, readFileSync(store.content.blobPath(digest))]),
  );
  return ({ digest }) =>
    (async function* () {
      const bytes = copies.get(digest);
      if (bytes === undefined) throw new Error(`manifest unknown: ${digest}`);
      yield bytes;
    })();
}

function digestsOf(store: TestStore, tag: string): { manifest: string; config: string; layers: string[] } {
  const row = store.state.db
    .query<{ id: string; manifest: string }, [string]>(
      "SELECT id, manifest FROM images JOIN tags ON image_id = id WHERE reference = ?",
    )
    .get(`docker.io/library/${tag}`);
  const path = join(store.content.path, "blobs", (row?.manifest ?? "").replace(":", "/"));
  const layers: { digest: string }[] = JSON.parse(readFileSync(path, "utf8")).layers;
  return { manifest: row?.manifest ?? "", config: row?.id ?? "", layers: layers.map(({ digest }) => digest) };
}

function blob(store: TestStore, digest: string): string {
  return join(store.content.path, "blobs", digest.replace(":", "/"));
}

const damages: [what: string, problem: string, layer: number, damage: (tree: string) => void][] = [
  ["a flipped bit", "/bin/sh has another content", 0, (tree) => flipBit(join(tree, "bin/sh"))],
  ["a missing file", "/etc/group is missing", 0, (tree) => unlinkSync(join(tree, "etc/group"))],
  [
    "an extra file",
    "/etc/extra should not be there",
    0,
    (tree) => writeFileSync(join(tree, "etc/extra"), ""),
  ],
  [
    "a truncated file",
    "/bin/sh has 1 bytes instead of 300000",
    0,
    (tree) => writeFileSync(join(tree, "bin/sh"), "x"),
  ],
  [
    "another mode",
    "/bin/sh has mode 0755 instead of 4755",
    0,
    (tree) => chmodSync(join(tree, "bin/sh"), 0o755),
  ],
  ["another owner", "/bin belongs to 5:6 instead of 0:0", 0, (tree) => chownSync(join(tree, "bin"), 5, 6)],
  ["another time", "/etc/passwd has another time", 0, (tree) => utimesSync(join(tree, "etc/passwd"), 1, 1)],
  [
    "another type",
    "/etc/passwd is of another type",
    0,
    (tree) => {
      unlinkSync(join(tree, "etc/passwd"));
      mkdirSync(join(tree, "etc/passwd"));
    },
  ],
  [
    "another symlink",
    "/bin/link leads somewhere else",
    0,
    (tree) => {
      unlinkSync(join(tree, "bin/link"));
      symlinkSync("zz", join(tree, "bin/link"));
      Bun.spawnSync(["touch", "-h", "-d", "@1600000000", join(tree, "bin/link")]);
    },
  ],
  [
    "a hard link that was broken",
    "/etc/group is a hard link to another file",
    0,
    (tree) => {
      const path = join(tree, "etc/group");
      cpSync(path, `${path}-`, { preserveTimestamps: true });
      unlinkSync(path);
      linkSync(`${path}-`, path);
      unlinkSync(`${path}-`);
    },
  ],
  [
    "an extended attribute",
    "/etc/passwd has another extended attribute user.extra",
    0,
    (tree) => setXattr(join(tree, "etc/passwd"), "user.extra", Buffer.from("x")),
  ],
];

interface Place {
  driver: string;
  dataRoot(): string | undefined;
}

function checkSuite({ driver, dataRoot }: Place): void {
  const newStore = () => {
    const root = dataRoot();
    return testStore({ driver, ...(root === undefined ? {} : { dataRoot: root }) });
  };
  /** Where a layer's files can be damaged: a committed subvolume is read-only. */
  const open = async (store: TestStore, chainId: string) => {
    const tree = await treeOf(store, chainId);
    if (driver === "btrfs") Bun.spawnSync(["btrfs", "property", "set", tree, "ro", "false"]);
    return tree;
  };

  test("nothing is wrong with what was just loaded", async () => {
    await using store = newStore();
    await load(store, dockerArchive(app));
    await load(store, dockerArchive(other));
    const result = await check(store);
    expect(result.Faults).toEqual([]);
    expect(result).toMatchObject({ Blobs: 8, Layers: 3 });
    expect(result.BytesRead).toBeGreaterThan(600_000);
    expect((await store.snapshots.list()).filter(({ state }) => state === "active")).toEqual([]);
  });

  for (const [what, problem, layer, damage] of damages) {
    test(`${what} in a layer is found, named with its images, and repaired`, async () => {
      await using store = newStore();
      await load(store, dockerArchive(app));
      const before = await facts(store);
      damage(await open(store, chainOf(store, "app:1")[layer] ?? ""));

      const found = (await check(store)).Faults;
      expect(found[0]).toMatchObject({ Kind: "layer", Images: ["app:1"], Repaired: false });
      expect(found[0]?.Problem).toStartWith(problem);
      const repaired = (await check(store, { repair: true })).Faults;
      expect(repaired.map(({ Problem, Repaired }) => ({ Problem, Repaired }))[0]).toMatchObject({
        Repaired: true,
      });
      expect((await check(store)).Faults).toEqual([]);
      expect(await facts(store)).toEqual(before);
    });
  }

  /** What a container on app:1 sees. */
  async function facts(store: TestStore): Promise<string> {
    await store.snapshots.prepare("look", chainOf(store, "app:1").at(-1));
    const root = await store.snapshots.mount("look");
    const { stdout } = Bun.spawnSync(
      [
        "sh",
        "-c",
        "find . -printf '%P %y %m %U %G %s %T@ %l\\n' | grep -v ' d ' | sort; sha256sum etc/passwd etc/group bin/busybox",
      ],
      { cwd: root },
    );
    await store.snapshots.remove("look");
    return stdout.toString();
  }

  test("a layer whose files are all gone, and one whose snapshot is gone, are unpacked again", async () => {
    await using store = newStore();
    await load(store, dockerArchive(app));
    const before = await facts(store);
    const [first = "", second = ""] = chainOf(store, "app:1");
    const tree = await open(store, first);
    removeTree(tree);
    await store.snapshots.remove(second);
    const found = (await check(store)).Faults;
    expect(told(found)[0]).toMatchObject({
      Kind: "layer",
      Problem: expect.stringContaining("no such file"),
      Images: ["app:1"],
    });
    const repaired = (await check(store, { repair: true })).Faults;
    expect(repaired.map(({ Kind, Repaired }) => [Kind, Repaired])).toEqual([
      ["layer", true],
      ["snapshot", true],
    ]);
    expect((await check(store)).Faults).toEqual([]);
    expect(await facts(store)).toEqual(before);
  });

  test("containers that do not run stand on the repaired layer afterwards", async () => {
    await using store = newStore();
    await load(store, dockerArchive(app));
    const chain = chainOf(store, "app:1");
    await store.snapshots.prepare("container", chain.at(-1));
    writeFileSync(join(await store.snapshots.mount("container"), "own"), "own");
    await store.snapshots.unmount("container");
    const tree = await open(store, chain[0] ?? "");
    flipBit(join(tree, "etc/group"));
    expect((await check(store, { repair: true })).Faults.every(({ Repaired }) => Repaired)).toBe(true);
    const root = await store.snapshots.mount("container");
    expect(readFileSync(join(root, "own"), "utf8")).toBe("own");
    expect(readFileSync(join(root, "etc/group"), "utf8")).toBe("root:x:0\n");
    await store.snapshots.remove("container");
  });

  test("what a crash left and nothing needs is named, and removed by repair", async () => {
    await using store = newStore();
    await load(store, dockerArchive(app));
    const stray = `sha256:${"e".repeat(64)}`;
    writeFileSync(blob(store, stray), "of no image");
    await store.snapshots.prepare("make", undefined);
    await store.snapshots.commit("make", `sha256:${"a".repeat(64)}`);
    mkdirSync(join(store.dataRoot, driver, "unknown"));
    const found = (await check(store)).Faults.filter(({ Problem }) => Problem.includes("no "));
    expect(found.map(({ Kind, ID, Problem }) => [Kind, ID, Problem])).toEqual([
      ["blob", stray, "no image needs it"],
      ["snapshot", `sha256:${"a".repeat(64)}`, "no image needs it"],
      ["snapshot", "unknown", "no record knows this directory"],
    ]);
    expect((await check(store, { repair: true })).Faults.map(({ Repaired }) => Repaired)).toEqual([
      true,
      true,
      true,
    ]);
    expect((await check(store)).Faults).toEqual([]);
    expect(existsSync(blob(store, stray))).toBe(false);
  });
}

describe("system check on overlay2", () => {
  checkSuite({ driver: "overlay2", dataRoot: () => undefined });

  test("a layer that a running container stands on is not swapped under it, but said to be in use", async () => {
    await using store = testStore({ driver: "overlay2" });
    await load(store, dockerArchive(app));
    const chain = chainOf(store, "app:1");
    await store.snapshots.prepare("container", chain.at(-1));
    const root = await store.snapshots.mount("container");
    flipBit(join(await treeOf(store, chain[0] ?? ""), "etc/group"));
    const [fault] = (await check(store, { repair: true })).Faults;
    expect(fault).toMatchObject({ Kind: "layer", Images: ["app:1"], Repaired: false });
    expect(fault?.Problem).toContain("in use: stop the containers");
    expect(existsSync(join(root, "bin/busybox"))).toBe(true);
    await store.snapshots.unmount("container");
    expect((await check(store, { repair: true })).Faults.map(({ Repaired }) => Repaired)).toEqual([true]);
    await store.snapshots.remove("container");
  });
});

describe("a layer of overlay2 against the entries of its archive", () => {
  const verdictOf = async (store: TestStore, tag: string, layer: number) => {
    const chainId = chainOf(store, tag)[layer] ?? "";
    const { layers } = digestsOf(store, tag);
    const row = store.state.db
      .query<{ diff_id: Digest }, [string]>("SELECT diff_id FROM layers WHERE chain_id = ?")
      .get(chainId);
    const target = await store.snapshots.layerTarget(chainId);
    const { signal } = new AbortController();
    const path = blob(store, layers[layer] ?? "");
    return (await compareEntries(path, row?.diff_id ?? parseDigest(""), target, signal)).verdict;
  };

  test("whiteouts, hard links, implied directories and compression are plain enough to be seen as intact", async () => {
    await using store = testStore({ driver: "overlay2" });
    await load(store, dockerArchive(app));
    await load(store, dockerArchive(other));
    for (const tag of ["app:1", "other:1"]) {
      for (const layer of [0, 1])
        expect([tag, layer, await verdictOf(store, tag, layer)]).toEqual([tag, layer, "intact"]);
    }
  });

  for (const [what, , layer, damage] of damages) {
    test(`${what} is doubtful`, async () => {
      await using store = testStore({ driver: "overlay2" });
      await load(store, dockerArchive(app));
      damage(await treeOf(store, chainOf(store, "app:1")[layer] ?? ""));
      expect(await verdictOf(store, "app:1", layer)).toBe("doubtful");
    });
  }

  const marks: [what: string, damage: (tree: string) => void][] = [
    ["a whiteout that is missing", (tree) => unlinkSync(join(tree, "gone/file"))],
    ["a whiteout too much", (tree) => copyWhiteout(join(tree, "gone/file"), join(tree, "gone/more"))],
    ["a directory that no longer hides", (tree) => removeXattr(join(tree, "bin"), "trusted.overlay.opaque")],
    [
      "a directory that hides",
      (tree) => setXattr(join(tree, "etc"), "trusted.overlay.opaque", Buffer.from("y")),
    ],
    ["an implied directory with another mode", (tree) => chmodSync(join(tree, "implied"), 0o700)],
    ["the root with another mode", (tree) => chmodSync(tree, 0o700)],
  ];
  for (const [what, damage] of marks) {
    test(`${what} is doubtful, found and repaired`, async () => {
      await using store = testStore({ driver: "overlay2" });
      await load(store, dockerArchive(app));
      damage(await treeOf(store, chainOf(store, "app:1")[1] ?? ""));
      expect(await verdictOf(store, "app:1", 1)).toBe("doubtful");
      expect((await check(store, { repair: true })).Faults.map(({ Repaired }) => Repaired)).toEqual([true]);
      expect(await verdictOf(store, "app:1", 1)).toBe("intact");
    });
  }

  test("an archive that is not plain is compared the slow way, and nothing is said to be wrong with it", async () => {
    await using store = testStore({ driver: "overlay2" });
    const twice = tar([
      { name: "a", data: "first" },
      { name: "a", data: "second" },
      { name: "real/", type: "5" },
      { name: "link", type: "2", link: "real" },
      { name: "link/inside", data: "through a symlink" },
      { name: "d/", type: "5" },
      { name: ".wh.d" },
    ]);
    await load(store, dockerArchive({ layers: [base, twice], tags: ["odd:1"] }));
    expect(await verdictOf(store, "odd:1", 1)).toBe("doubtful");
    expect((await check(store)).Faults).toEqual([]);
  });

  test("sparse files are compared, holes too", async () => {
    await using store = testStore({ driver: "overlay2" });
    const holes = Buffer.alloc(5_000_000);
    holes.fill("x", 2_000_000, 2_000_100);
    await load(store, dockerArchive({ layers: [base, fileLayer("holes", holes)], tags: ["odd:1"] }));
    expect(await verdictOf(store, "odd:1", 1)).toBe("intact");
    const path = join(await treeOf(store, chainOf(store, "odd:1")[1] ?? ""), "holes");
    const { atime, mtime } = statSync(path);
    const file = openSync(path, "r+");
    writeSync(file, "y", 4_999_999);
    closeSync(file);
    utimesSync(path, atime, mtime);
    expect(await verdictOf(store, "odd:1", 1)).toBe("doubtful");
    expect((await check(store)).Faults[0]?.Problem).toBe("/holes has another content");
  });
});

function copyWhiteout(from: string, to: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["cp", "-a", from, to]);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

describe("system check on vfs", () => checkSuite({ driver: "vfs", dataRoot: () => undefined }));

const missing = missingForLoopDisk("mkfs.btrfs");
if (missing !== undefined) console.error(`check on btrfs is skipped: ${missing}`);
describe.skipIf(missing !== undefined)("system check on btrfs", () => {
  let disk: LoopDisk | undefined;
  let stores = 0;
  beforeAll(() => {
    disk = loopDisk(["mkfs.btrfs", "-q"]);
  });
  afterAll(() => disk?.[Symbol.dispose]());
  checkSuite({ driver: "btrfs", dataRoot: () => join(disk?.path ?? "", `data-${++stores}`) });
});

describe("blobs", () => {
  type Which = (digests: ReturnType<typeof digestsOf>) => string;
  const blobs: [what: string, which: Which][] = [
    ["manifest", ({ manifest }) => manifest],
    ["config", ({ config }) => config],
    ["layer", ({ layers }) => layers[1] ?? ""],
  ];
  for (const [what, which] of blobs) {
    for (const [how, damage] of [
      ["with a flipped bit", flipBit],
      ["that is too long", (path: string) => appendFileSync(path, "x")],
      ["that is missing", (path: string) => rmSync(path)],
    ] as const) {
      test(`a ${what} ${how} is found, named with its image, and fetched again`, async () => {
        await using store = testStore();
        await load(store, dockerArchive(app, other));
        const fetchBlob = copyOfBlobs(store);
        const digest = which(digestsOf(store, "other:1"));
        damage(blob(store, digest));

        const found = (await check(store)).Faults.filter(({ Kind }) => Kind === "blob");
        expect(found.map(({ ID, Images, Repaired }) => ({ ID, Images, Repaired }))).toEqual([
          { ID: digest, Images: ["other:1"], Repaired: false },
        ]);
        const repaired = (await check(store, { repair: true, fetchBlob })).Faults;
        expect(repaired.map(({ ID, Repaired }) => ({ ID, Repaired }))).toEqual([
          { ID: digest, Repaired: true },
        ]);
        expect((await check(store)).Faults).toEqual([]);
      });
    }
  }

  test("a blob that no registry gives back is told with the reason, and loading the image again repairs it", async () => {
    await using store = testStore();
    await load(store, dockerArchive(app));
    const digest = digestsOf(store, "app:1").layers[0] ?? "";
    flipBit(blob(store, digest));
    const [fault] = (await check(store, { repair: true })).Faults;
    expect(fault).toMatchObject({ Kind: "blob", ID: digest, Images: ["app:1"], Repaired: false });
    expect(fault?.Problem).toMatch(
      /could not be fetched again \(.*app:1 is not reachable\): pull or load the image/,
    );
    expect(existsSync(blob(store, digest))).toBe(false);
  });

  test("a registry that gives something else in its place is not believed", async () => {
    await using store = testStore();
    await load(store, dockerArchive(app));
    const digest = digestsOf(store, "app:1").layers[0] ?? "";
    rmSync(blob(store, digest));
    const fetchBlob: FetchBlob = async function* () {
      yield Buffer.from("something else");
    };
    const [fault] = (await check(store, { repair: true, fetchBlob })).Faults;
    expect(fault).toMatchObject({ ID: digest, Repaired: false });
    expect(fault?.Problem).toContain("what was fetched has the digest");
    expect(existsSync(blob(store, digest))).toBe(false);
  });

  test("after a check nothing is left of it, and images can be removed as before", async () => {
    await using store = testStore();
    await load(store, dockerArchive(app));
    await check(store, { repair: true });
    const { removeImage } = await import("../../src/images/remove.ts");
    await removeImage(store, "app:1");
    await expectEmpty(store);
  });
});
