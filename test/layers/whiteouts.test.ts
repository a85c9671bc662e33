import { describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { applyLayer } from "../../src/images/layers/apply.ts";
import { diffTar, listChanges } from "../../src/images/layers/diff.ts";
import { mountFileSystem, unmountIfMounted } from "../../src/linux/mounts.ts";
import type { LayerTarget } from "../../src/storage/snapshotter.ts";
import { archive, type HandEntry, stream } from "./archives.ts";
import { Scratch, treeFacts } from "./scratch.ts";

const file = (name: string, content = name): HandEntry => ({ name, type: "file", content });
const directory = (name: string, mode = 0o755): HandEntry => ({ name: `${name}/`, type: "directory", mode });
const whiteout = (name: string): HandEntry => ({ name, type: "file" });

/**
 * A stack of layers, unpacked one on the other in each of the two ways: as overlay directories that the kernel
 * stacks, and into whole trees.
 */
class Stack implements Disposable {
  readonly scratch = new Scratch();
  readonly layers: LayerTarget[] = [];
  readonly #mounted: string[] = [];
  readonly #way: LayerTarget["whiteouts"];

  constructor(way: LayerTarget["whiteouts"]) {
    this.#way = way;
  }

  async add(...entries: HandEntry[]): Promise<void> {
    const path = this.scratch.directory(`layer-${this.layers.length}`);
    const below = this.layers.map((layer) => layer.path).reverse();
    const [parent] = below;
    if (this.#way === "delete" && parent !== undefined) Bun.spawnSync(["cp", "-a", `${parent}/.`, path]);
    const target: LayerTarget = {
      path,
      whiteouts: this.#way,
      lower: this.#way === "overlay" ? below : below.slice(0, 1),
    };
    await applyLayer(stream(archive(...entries)), target);
    this.layers.push(target);
  }

  /** The path at which the whole tree is seen. */
  view(): string {
    const top = this.layers.at(-1)?.path ?? "";
    if (this.#way === "delete") return top;
    const target = this.scratch.directory(`view-${this.#mounted.length}`);
    const lower = this.layers.map((layer) => layer.path).reverse();
    const options = [...lower, this.scratch.directory("nothing")].map((path) => ["lowerdir+", path] as const);
    mountFileSystem("overlay", target, options);
    this.#mounted.push(target);
    return target;
  }

  paths(): string[] {
    return Object.keys(treeFacts(this.view()).nodes)
      .filter((path) => path !== ".")
      .sort();
  }

  [Symbol.dispose](): void {
    for (const path of this.#mounted) unmountIfMounted(path);
    this.scratch[Symbol.dispose]();
  }
}

for (const way of ["overlay", "delete"] as const) {
  describe(`whiteouts by ${way}`, () => {
    test("a whiteout hides a file and a whole directory of lower layers", async () => {
      using stack = new Stack(way);
      await stack.add(file("a"), directory("d"), file("d/x"), file("kept"));
      await stack.add(whiteout(".wh.a"), whiteout(".wh.d"));
      expect(stack.paths()).toEqual(["kept"]);
    });

    test("a whiteout of what no layer has does nothing", async () => {
      using stack = new Stack(way);
      await stack.add(file("kept"));
      await stack.add(whiteout(".wh.never"));
      expect(stack.paths()).toEqual(["kept"]);
    });

    for (const order of ["before", "after"] as const) {
      test(`a whiteout that stands ${order} a file of the same layer leaves that file`, async () => {
        using stack = new Stack(way);
        await stack.add(file("a", "old"));
        const entries = [whiteout(".wh.a"), file("a", "new")];
        await stack.add(...(order === "before" ? entries : entries.reverse()));
        expect(readFileSync(join(stack.view(), "a"), "utf8")).toBe("new");
      });

      test(`a whiteout that stands ${order} a directory of the same layer hides only what is below it`, async () => {
        using stack = new Stack(way);
        await stack.add(directory("d"), file("d/old"), directory("d/sub"), file("d/sub/old"));
        const entries = [whiteout(".wh.d"), directory("d"), file("d/new"), file("d/sub/new")];
        const [first, ...rest] = entries;
        await stack.add(
          ...(order === "before" ? entries : [...rest, ...(first === undefined ? [] : [first])]),
        );
        expect(stack.paths()).toEqual(["d", "d/new", "d/sub", "d/sub/new"]);
      });

      test(`an opaque mark that stands ${order} the files of its directory hides the lower ones only`, async () => {
        using stack = new Stack(way);
        await stack.add(directory("d"), file("d/old"), directory("d/sub"), file("d/sub/old"), file("beside"));
        const mark = whiteout("d/.wh..wh..opq");
        const entries = [file("d/new"), directory("d/sub"), file("d/sub/new")];
        await stack.add(directory("d"), ...(order === "before" ? [mark, ...entries] : [...entries, mark]));
        const paths = stack.paths();
        expect(paths).not.toContain("d/old");
        expect(paths).not.toContain("d/sub/old");
        expect(paths).toEqual(["beside", "d", "d/new", "d/sub", "d/sub/new"]);
      });
    }

    test("what lies below a deleted directory stays hidden when a later layer makes it again", async () => {
      using stack = new Stack(way);
      await stack.add(directory("d"), file("d/old"));
      await stack.add(whiteout(".wh.d"));
      await stack.add(directory("d"), file("d/new"));
      expect(stack.paths()).toEqual(["d", "d/new"]);
    });

    test("a file replaces a directory of a lower layer, and a directory a file", async () => {
      using stack = new Stack(way);
      await stack.add(directory("a"), file("a/x"), file("b"));
      await stack.add(file("a"), directory("b"), file("b/y"));
      expect(stack.paths()).toEqual(["a", "b", "b/y"]);
      expect(lstatSync(join(stack.view(), "a")).isFile()).toBe(true);
    });

    test("a directory that a layer implies keeps the mode and owner that it has below", async () => {
      using stack = new Stack(way);
      await stack.add(
        { ...directory("d", 0o1777), uid: 12, gid: 34 },
        { ...directory("d/e", 0o700), uid: 56 },
      );
      await stack.add(file("d/e/f"));
      const view = stack.view();
      const [outer, inner] = [statSync(join(view, "d")), statSync(join(view, "d/e"))];
      expect([outer.mode & 0o7777, outer.uid, outer.gid]).toEqual([0o1777, 12, 34]);
      expect([inner.mode & 0o7777, inner.uid]).toEqual([0o700, 56]);
    });

    test("a directory that a layer implies is plain again where the one below was deleted", async () => {
      using stack = new Stack(way);
      await stack.add({ ...directory("d", 0o1777), uid: 12 });
      await stack.add(whiteout(".wh.d"));
      await stack.add(file("d/f"));
      const { mode, uid } = statSync(join(stack.view(), "d"));
      expect([mode & 0o7777, uid]).toEqual([0o755, 0]);
    });

    test("other marks of aufs are left out", async () => {
      using stack = new Stack(way);
      await stack.add(file("a"), whiteout(".wh..wh.aufs"), directory(".wh..wh.plnk"));
      expect(stack.paths()).toEqual(["a"]);
    });

    test("a diff, unpacked on the same layers, gives the same tree", async () => {
      using stack = new Stack(way);
      await stack.add(
        directory("d"),
        file("d/old"),
        directory("gone"),
        file("gone/x"),
        file("kept"),
        file("k2"),
      );
      await stack.add(
        whiteout(".wh.gone"),
        whiteout("d/.wh.old"),
        file("d/new"),
        { name: "link", type: "hard-link", linkName: "d/new" },
        file("kept", "changed"),
        { name: "s", type: "symlink", linkName: "d" },
      );
      const [lower, upper] = stack.layers;
      if (lower === undefined || upper === undefined) throw new Error("two layers were added");
      expect(listChanges(upper)).toEqual([
        { kind: "modified", path: "/d" },
        { kind: "added", path: "/d/new" },
        { kind: "deleted", path: "/d/old" },
        { kind: "deleted", path: "/gone" },
        { kind: "modified", path: "/kept" },
        { kind: "added", path: "/link" },
        { kind: "added", path: "/s" },
      ]);

      using again = new Stack("delete");
      await again.add(
        directory("d"),
        file("d/old"),
        directory("gone"),
        file("gone/x"),
        file("kept"),
        file("k2"),
      );
      const copy = again.layers[0]?.path ?? "";
      await applyLayer(diffTar(upper), { path: copy, whiteouts: "delete" });
      expect(contentOf(copy)).toEqual(contentOf(stack.view()));
    });
  });
}

function contentOf(root: string): unknown {
  const { nodes, links } = treeFacts(root);
  return {
    links,
    nodes: Object.entries(nodes).map(([path, { content, target, mode }]) => [path, content, target, mode]),
  };
}

test("a diff of a mounted overlay tells what a container did", async () => {
  using scratch = new Scratch();
  const [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map((name) =>
    scratch.directory(name),
  );
  if (!lower || !upper || !work || !merged) throw new Error("four directories were made");
  mkdirSync(join(lower, "etc"));
  writeFileSync(join(lower, "etc/passwd"), "root");
  writeFileSync(join(lower, "etc/shadow"), "secret");
  mkdirSync(join(lower, "var/cache"), { recursive: true });
  writeFileSync(join(lower, "var/cache/junk"), "junk");
  mountFileSystem("overlay", merged, [
    ["lowerdir+", lower],
    ["upperdir", upper],
    ["workdir", work],
  ]);
  try {
    Bun.spawnSync(
      [
        "sh",
        "-c",
        "rm etc/shadow; echo x >>etc/passwd; rm -r var/cache; mkdir var/cache; touch var/cache/new; mkdir srv",
      ],
      {
        cwd: merged,
      },
    );
  } finally {
    unmountIfMounted(merged);
  }
  const target: LayerTarget = { path: upper, whiteouts: "overlay", lower: [lower] };
  expect(listChanges(target)).toEqual([
    { kind: "modified", path: "/etc" },
    { kind: "modified", path: "/etc/passwd" },
    { kind: "deleted", path: "/etc/shadow" },
    { kind: "added", path: "/srv" },
    { kind: "modified", path: "/var" },
    { kind: "modified", path: "/var/cache" },
    { kind: "deleted", path: "/var/cache/junk" },
    { kind: "added", path: "/var/cache/new" },
  ]);
  await applyLayer(diffTar(target), { path: lower, whiteouts: "delete" });
  expect(existsSync(join(lower, "etc/shadow"))).toBe(false);
  expect(readdirSync(join(lower, "var/cache"))).toEqual(["new"]);
  expect(readFileSync(join(lower, "etc/passwd"), "utf8")).toBe("rootx\n");
});
