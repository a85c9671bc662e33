/** Files of an earlier COPY that have not changed are taken over from its layer. Nobody may see that. */
import { afterEach, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Files, openWorkshop, type Workshop } from "./workshop.ts";

const workshops: Workshop[] = [];
afterEach(async () => {
  for (const workshop of workshops.splice(0)) await workshop[Symbol.asyncDispose]();
});

async function newWorkshop(): Promise<Workshop> {
  const workshop = await openWorkshop();
  workshops.push(workshop);
  return workshop;
}

/** Enough for the files of a directory to be copied into the layer itself. */
const count = 100;

function manyFiles(dockerfile: string): Files {
  const files: Files = { Dockerfile: dockerfile };
  for (let index = 0; index < count; index += 1)
    files[`src/d${index % 7}/file-${index}`] = `content ${index}`;
  return files;
}

const plain = "FROM davit-busybox\nCOPY src /app\n";

/** The directory of an image's topmost layer. */
async function layerOf({ engine }: Workshop, image: string): Promise<string> {
  const inspected = await engine.images.inspect(image);
  return inspected.GraphDriver?.Data?.UpperDir ?? "";
}

test("only what has changed is copied anew", async () => {
  const workshop = await newWorkshop();
  const context = workshop.context(manyFiles(plain));
  await workshop.build(context, { names: ["first"] });
  writeFileSync(join(context, "src/d3/file-3"), "another content");
  await workshop.build(context, { names: ["second"] });
  const [first, second] = [await layerOf(workshop, "first"), await layerOf(workshop, "second")];
  const inodes = (name: string) => [first, second].map((layer) => statSync(join(layer, "app", name)).ino);
  const [same, alsoSame] = inodes("d2/file-2");
  expect(alsoSame).toBe(same ?? 0);
  const [old, changed] = inodes("d3/file-3");
  expect(changed).not.toBe(old ?? 0);
  expect(await workshop.run("first", "cat", "/app/d3/file-3")).toBe("content 3");
  expect(await workshop.run("second", "cat", "/app/d3/file-3")).toBe("another content");
});

test("the image is the one that a first build makes, whatever has changed", async () => {
  const workshop = await newWorkshop();
  const context = workshop.context(manyFiles(plain));
  const src = join(context, "src");
  linkSync(join(src, "d0/file-0"), join(src, "d0/twin"));
  await workshop.build(context);
  const time = new Date("2020-02-02T02:02:02.5Z");
  const changes: (() => void)[] = [
    () => writeFileSync(join(src, "d1/file-1"), "Content 1"),
    () => chmodSync(join(src, "d2/file-2"), 0o755),
    () => utimesSync(join(src, "d3/file-3"), time, time),
    () => rmSync(join(src, "d4/file-4")),
    () => renameSync(join(src, "d5/file-5"), join(src, "d5/renamed")),
    () => {
      rmSync(join(src, "d6/file-6"));
      symlinkSync("file-13", join(src, "d6/file-6"));
    },
    // One file becomes two, and two become one.
    () => {
      rmSync(join(src, "d0/twin"));
      writeFileSync(join(src, "d0/twin"), "content 0");
      utimesSync(join(src, "d0/twin"), time, time);
      utimesSync(join(src, "d0/file-0"), time, time);
    },
    () => {
      rmSync(join(src, "d0/file-7"));
      linkSync(join(src, "d0/file-14"), join(src, "d0/file-7"));
    },
    () => renameSync(join(src, "d1"), join(src, "e1")),
    () => renameSync(join(src, "d2"), join(src, "d1")),
  ];
  const fresh = await newWorkshop();
  for (const [number, change] of changes.entries()) {
    change();
    // Times alone make no step run again.
    writeFileSync(join(src, "d3/file-10"), `content ${number}`);
    const { result } = await workshop.build(context);
    const { result: anew } = await fresh.build(context, { noCache: true });
    expect(result.imageId).toBe(anew.imageId);
    // Of the other one, too, nothing is left to take over the next time.
    rmSync(join(fresh.davit.instance.dataRoot, "build/copies"), { recursive: true, force: true });
  }
  expect((await workshop.davit.run(["system", "check"])).stdout).toContain("no damage found");
}, 60_000);

test("a later time limit does not reach the files of the image before", async () => {
  const workshop = await newWorkshop();
  const context = workshop.context(manyFiles(plain));
  await workshop.build(context, { names: ["first"] });
  const before = statSync(join(await layerOf(workshop, "first"), "app/d2/file-2")).mtimeMs;
  await workshop.build(context, { names: ["second"], sourceDateEpoch: 1_000_000_000, noCache: true });
  expect(statSync(join(await layerOf(workshop, "second"), "app/d2/file-2")).mtimeMs).toBe(1_000_000_000_000);
  expect(statSync(join(await layerOf(workshop, "first"), "app/d2/file-2")).mtimeMs).toBe(before);
});

test("what a container writes stays out of every image", async () => {
  const workshop = await newWorkshop();
  const context = workshop.context(manyFiles(plain));
  await workshop.build(context, { names: ["first"] });
  writeFileSync(join(context, "src/d3/file-3"), "another content");
  await workshop.build(context, { names: ["second"] });
  await workshop.run("second", "sh", "-c", "echo gone > /app/d2/file-2; chmod 600 /app/d1/file-1");
  expect(await workshop.run("first", "cat", "/app/d2/file-2")).toBe("content 2");
  expect(await workshop.run("second", "cat", "/app/d2/file-2")).toBe("content 2");
});

test("when the image before is gone all is copied, and a file of another owner or place is not mistaken", async () => {
  const workshop = await newWorkshop();
  const context = workshop.context(manyFiles(plain));
  await workshop.build(context, { names: ["first"] });
  await workshop.davit.run(["rmi", "-f", "first"]);
  await workshop.davit.run(["builder", "prune", "-af"]);
  writeFileSync(join(context, "src/d3/file-3"), "another content");
  await workshop.build(context, { names: ["second"] });
  expect(await workshop.run("second", "cat", "/app/d2/file-2", "/app/d3/file-3")).toBe(
    "content 2another content",
  );
  writeFileSync(join(context, "Dockerfile"), "FROM davit-busybox\nCOPY --chown=7:8 --chmod=640 src /app\n");
  await workshop.build(context, { names: ["third"] });
  const owned = statSync(join(await layerOf(workshop, "third"), "app/d2/file-2"));
  expect([owned.uid, owned.gid, owned.mode & 0o777]).toEqual([7, 8, 0o640]);
  expect(statSync(join(await layerOf(workshop, "second"), "app/d2/file-2")).uid).toBe(0);
});

test("notes that are damaged are worth nothing", async () => {
  const workshop = await newWorkshop();
  const context = workshop.context(manyFiles(plain));
  await workshop.build(context);
  const { dataRoot } = workshop.davit.instance;
  const [name = ""] = [...new Bun.Glob("*").scanSync(join(dataRoot, "build/copies"))];
  const notes = join(dataRoot, "build/copies", name);
  const text = readFileSync(notes, "utf8");
  for (const damaged of ["", "something else", text.slice(0, 40), text.replaceAll("src", "../src")]) {
    writeFileSync(notes, damaged);
    writeFileSync(join(context, "src/d3/file-3"), `content ${damaged.length}`);
    await workshop.build(context, { names: ["again"] });
    expect(await workshop.run("again", "cat", "/app/d3/file-3")).toBe(`content ${damaged.length}`);
  }
});
