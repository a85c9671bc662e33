import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listImages } from "../../src/images/list.ts";
import { removeImage } from "../../src/images/remove.ts";
import { resolveImage } from "../../src/images/resolve.ts";
import { randomNumbers } from "./random.ts";
import { dockerArchive, expectEmpty, fileLayer, type TestStore, testStore } from "./support.ts";

const base = fileLayer("base", "base ".repeat(100_000));
const archives = [0, 1, 2].map((number) =>
  dockerArchive({ layers: [base, fileLayer(`own${number}`, String(number))], tags: [`stress:${number}`] }),
);

test("processes that load, tag, save, list and remove at once, and are killed now and then, leave a sound store", async () => {
  await using store = testStore();
  const directory = mkdtempSync(join(tmpdir(), "davit-test-images-"));
  const paths = archives.map((bytes, at) => {
    const path = join(directory, `${at}.tar`);
    writeFileSync(path, bytes);
    return path;
  });
  const random = randomNumbers(11);
  const processes = new Map<number, Bun.Subprocess<"pipe", "ignore", "pipe">>();
  let seed = 0;
  try {
    for (let round = 0; round < 12; round += 1) {
      for (let slot = 0; slot < 3; slot += 1) {
        if (!processes.has(slot)) processes.set(slot, start(store, ++seed, paths));
      }
      await Bun.sleep(200 + random(200));
      const slot = random(3);
      processes.get(slot)?.kill("SIGKILL");
      await processes.get(slot)?.exited;
      processes.delete(slot);
    }
    for (const process of processes.values()) {
      process.stdin.write("end");
      process.stdin.end();
      expect([await process.exited, await new Response(process.stderr).text()]).toEqual([0, ""]);
    }
  } finally {
    for (const process of processes.values()) process.kill("SIGKILL");
    rmSync(directory, { recursive: true });
  }

  for (const { Id } of await listImages(store, { all: true })) {
    const { topChainId } = resolveImage(store.state, store.content, Id);
    await store.snapshots.prepare(Id, topChainId);
    const root = await store.snapshots.mount(Id);
    expect(await Bun.file(join(root, "base")).text()).toBe("base ".repeat(100_000));
    await store.snapshots.unmount(Id);
    await store.snapshots.remove(Id);
    await removeImage(store, Id, { force: true });
  }
  await expectEmpty(store);
}, 60_000);

function start(store: TestStore, seed: number, paths: string[]): Bun.Subprocess<"pipe", "ignore", "pipe"> {
  const script = join(import.meta.dir, "stress-process.ts");
  return Bun.spawn([process.execPath, script, store.dataRoot, store.execRoot, String(seed), ...paths], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "pipe",
  });
}
