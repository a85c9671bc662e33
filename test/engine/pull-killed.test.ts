/** Pulls that are killed: what is recorded is whole, what is not takes no room once others have run. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describeInstance } from "../../src/core/instance.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { openLocalEngine } from "../../src/engine/local/index.ts";
import { namesIn } from "../../src/linux/directories.ts";
import { openRegistryServer, type RegistryServer } from "../../src/registry/server/index.ts";
import { dockerArchive } from "../images/support.ts";
import { tar } from "../images/tar.ts";

const directory = mkdtempSync(join(tmpdir(), "davit-test-"));
let server: RegistryServer;
let name = "";

const layers = ["a", "b", "c"].map((part) =>
  tar([
    { name: `${part}/big`, data: crypto.getRandomValues(Buffer.alloc(60_000)).toString("base64").repeat(40) },
    ...Array.from({ length: 300 }, (_, at) => ({ name: `${part}/implied/${at}`, data: `${part}${at}` })),
    { name: `etc/${part}`, data: part },
  ]),
);

beforeAll(async () => {
  server = await openRegistryServer({
    root: join(directory, "registry"),
    listen: { hostname: "127.0.0.1", port: 0 },
  });
  name = `127.0.0.1:${server.port}/team/app:1`;
  await using here = await place();
  async function* archive(): AsyncGenerator<Uint8Array> {
    yield dockerArchive({ layers, pack: gzipSync, tags: [name] });
  }
  for await (const _ of here.engine.images.load(archive())) {
    // Progress; a failure throws.
  }
  for await (const _ of here.engine.images.push(name)) {
    // The same.
  }
});

afterAll(async () => {
  await server.close(0);
  rmSync(directory, { recursive: true });
});

interface Place extends AsyncDisposable {
  engine: Engine;
  dataRoot: string;
  /** A pull in a process of its own. */
  pull(options?: { fault?: string; lazy?: boolean }): Bun.Subprocess;
}

let places = 0;

async function place(): Promise<Place> {
  const top = join(directory, `place-${++places}`);
  const instance = describeInstance(join(top, "data"), join(top, "exec"));
  const engine = await openLocalEngine({ instance, self: [process.execPath], searchPath: "" });
  return {
    engine,
    dataRoot: instance.dataRoot,
    pull: ({ fault = "", lazy = false } = {}) =>
      Bun.spawn(
        [
          process.execPath,
          join(import.meta.dir, "pull-process.ts"),
          instance.dataRoot,
          instance.execRoot,
          name,
          lazy ? "lazy" : "",
        ],
        {
          stdin: "ignore",
          stdout: "inherit",
          stderr: "inherit",
          env: { ...process.env, DAVIT_FAULT: fault },
        },
      ),
    [Symbol.asyncDispose]: async () => {
      await engine.close();
      rmSync(top, { recursive: true });
    },
  };
}

/** What is left of images on the disk, without what a later pull may go on with. */
function remains({ dataRoot }: Place): Record<string, number> {
  const count = (path: string) => namesIn(join(dataRoot, path)).filter((entry) => entry !== "lock").length;
  return {
    snapshots: count("overlay2"),
    blobs: count("content/blobs/sha256"),
    sessions: count("content/ingest"),
  };
}

const nothing = { snapshots: 0, blobs: 0, sessions: 0 };
const everything = { snapshots: 3, blobs: 5, sessions: 0 };

const points = [
  "pull:downloaded",
  "snapshot:reserved",
  "snapshot:made",
  "load:applied",
  "snapshot:committed",
  "load:unpacked",
  "load:synced",
];
for (const fault of points) {
  test(`a pull killed at ${fault} leaves nothing to see, and nothing that the next command does not remove`, async () => {
    await using here = await place();
    const killed = here.pull({ fault });
    await killed.exited;
    expect(killed.signalCode).toBe("SIGKILL");
    expect(await here.engine.images.list()).toEqual([]);
    expect(remains(here)).toEqual(nothing);
    expect((await here.engine.system.check()).Faults).toEqual([]);

    expect(await here.pull().exited).toBe(0);
    expect(remains(here)).toEqual(everything);
    expect((await here.engine.system.check()).Faults).toEqual([]);
  }, 30_000);
}

test("a pull killed at any moment is all or nothing, and the one after it completes it", async () => {
  await using here = await place();
  for (let pause = 60; pause <= 420; pause += 60) {
    const killed = here.pull();
    await Bun.sleep(pause);
    killed.kill("SIGKILL");
    await killed.exited;
    const { length } = await here.engine.images.list();
    expect(remains(here)).toEqual(length === 0 ? nothing : everything);
    if (length > 0) await here.engine.images.remove(name);
  }
  expect(await here.pull().exited).toBe(0);
  expect((await here.engine.system.check()).Faults).toEqual([]);
}, 60_000);

test("what a killed pull had fetched is kept for the next one for a day, and then forgotten", async () => {
  await using here = await place();
  const killed = here.pull({ fault: "pull:downloaded" });
  await killed.exited;
  await here.engine.images.list();
  const partial = join(here.dataRoot, "content/partial");
  const [kept] = readdirSync(partial);
  expect(kept).toBeDefined();
  const yesterday = Date.now() / 1000 - 25 * 60 * 60;
  for (const file of readdirSync(partial)) utimesSync(join(partial, file), yesterday, yesterday);
  await here.engine.images.list();
  expect(readdirSync(partial)).toEqual([]);
});

test("a lazy pull that is killed has pulled, and the next command makes it safe", async () => {
  await using here = await place();
  await here.pull({ fault: "load:recorded", lazy: true }).exited;
  using records = new Database(join(here.dataRoot, "davit.db"));
  const pending = () => records.query("SELECT * FROM pending_layers").all().length;
  expect(pending()).toBe(3);
  expect(await here.engine.images.list()).toHaveLength(1);
  expect(pending()).toBe(0);
  expect((await here.engine.system.check()).Faults).toEqual([]);
});

test("a lazy pull that a power cut has overtaken is dropped, and pulled anew", async () => {
  await using here = await place();
  await here.pull({ fault: "load:recorded", lazy: true }).exited;
  using records = new Database(join(here.dataRoot, "davit.db"));
  records.run("UPDATE pending_layers SET boot = 'of before the power cut'");
  expect(await here.engine.images.list()).toEqual([]);
  expect(remains(here)).toEqual(nothing);
  expect(await here.pull().exited).toBe(0);
  expect((await here.engine.system.check()).Faults).toEqual([]);
});

test("two pulls at once while others collect: both succeed, and everything is there once", async () => {
  await using here = await place();
  const pulls = [here.pull(), here.pull()];
  let running = true;
  const done = Promise.all(pulls.map(({ exited }) => exited)).then((codes) => {
    running = false;
    return codes;
  });
  while (running) {
    await here.engine.images.prune();
    await Bun.sleep(5);
  }
  expect(await done).toEqual([0, 0]);
  expect(remains(here)).toEqual(everything);
  expect((await here.engine.system.check()).Faults).toEqual([]);
}, 30_000);
