/**
 * `rmi` and `image prune` beside real Docker: for each combination of names, users, children and options both must
 * say and do the same.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { DavitError } from "../../src/core/errors.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { type Dockerd, missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { buildImage, sha256, streamOf } from "./support.ts";
import { tar } from "./tar.ts";

type User = "none" | "created" | "running";
type Child = "none" | "named" | "unnamed";

interface Situation {
  tags: string[];
  user: User;
  child: Child;
}

const binary = Bun.which("busybox") ?? "/bin/busybox";
const missing = missingForDockerd() ?? (Bun.which("crun") === null ? "not installed: crun" : undefined);
if (missing !== undefined) console.warn(`SKIPPED: removal compared with Docker: ${missing}`);

let busybox: Buffer;
let cases = 0;

/** Images of one situation: ids are unique, so that nothing is left of it when its images are gone. */
class Case {
  readonly archive: Buffer;
  readonly #names = new Map<string, string>();
  readonly base: string;
  readonly child: string;

  constructor(situation: Situation) {
    const number = ++cases;
    const own = tar([{ name: `case-${number}`, data: String(number) }]);
    const more = tar([{ name: `child-${number}`, data: String(number) }]);
    const base = buildImage({
      layers: [busybox, own],
      config: { Cmd: ["/busybox", "sleep", "600"], Labels: { case: String(number) } },
    });
    const child = buildImage({ layers: [busybox, own, more], config: { Labels: { case: String(number) } } });
    const items = [{ Config: "base.json", RepoTags: situation.tags, Layers: ["0.tar", "1.tar"] }];
    const files = [
      { name: "0.tar", data: busybox },
      { name: "1.tar", data: own },
      { name: "base.json", data: base.config },
    ];
    if (situation.child !== "none") {
      const named = { RepoTags: situation.child === "named" ? ["child:1"] : [] };
      items.push({
        Config: "child.json",
        Layers: ["0.tar", "1.tar", "2.tar"],
        ...named,
        ...{ Parent: base.id },
      });
      files.push({ name: "2.tar", data: more }, { name: "child.json", data: child.config });
    }
    this.archive = tar([...files, { name: "manifest.json", data: JSON.stringify(items) }]);
    this.base = base.id;
    this.child = child.id;
    let chain = base.diffIds[0] ?? "";
    const layers = [chain];
    for (const diffId of child.diffIds.slice(1)) {
      chain = `sha256:${sha256(`${chain} ${diffId}`)}`;
      layers.push(chain);
    }
    for (const [at, id] of layers.entries()) this.name(id, `<layer ${at}>`);
    this.name(base.id, "<base>");
    this.name(child.id, "<child>");
  }

  name(id: string, name: string): void {
    this.#names.set(id, name);
    const hex = id.replace(/^sha256:/, "");
    this.#names.set(hex, name).set(hex.slice(0, 12), name);
  }

  /** Text with names for ids. */
  readable(text: string): string {
    return text.replace(/(?:sha256:)?[0-9a-f]{12,64}/g, (id) => this.#names.get(id) ?? id);
  }
}

type Action = (engine: Engine, subject: Case) => Promise<unknown>;

/** What an engine says to an action, and what images it has afterwards. */
async function outcome(
  engine: Engine,
  situation: Situation,
  subject: Case,
  action: Action,
): Promise<unknown> {
  await Array.fromAsync(engine.images.load(streamOf(subject.archive)));
  let container: string | undefined;
  if (situation.user !== "none") {
    container = (await engine.containers.create({ Image: subject.base, HostConfig: { NetworkMode: "none" } }))
      .Id;
    subject.name(container, "<container>");
    if (situation.user === "running") await engine.containers.start(container);
  }
  let said: unknown;
  try {
    said = await action(engine, subject);
  } catch (error) {
    if (!(error instanceof DavitError)) throw error;
    said = { [error.kind]: error.message };
  }
  const rows = await engine.images.list({ all: true, filters: { label: [`case`] } });
  const left = rows
    .map(({ Id, RepoTags }) => ({
      Id,
      tags: (RepoTags ?? []).filter((tag) => tag !== "<none>:<none>").sort(),
    }))
    .sort((a, b) => (subject.readable(a.Id) < subject.readable(b.Id) ? -1 : 1));
  if (container !== undefined) await engine.containers.remove(container, { force: true });
  for (const { Id } of rows) {
    for (const id of [subject.child, subject.base]) {
      if (id === Id) await engine.images.remove(id, { force: true }).catch(ignoreMissing);
    }
  }
  for (const id of [subject.child, subject.base])
    await engine.images.remove(id, { force: true }).catch(ignoreMissing);
  return JSON.parse(subject.readable(JSON.stringify({ said, left })));
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof DavitError && ["notFound", "conflict"].includes(error.kind))) throw error;
}

describe.skipIf(missing !== undefined)("images are removed as Docker removes them", () => {
  let dockerd: Dockerd;
  let docker: Engine;
  let instance: DavitInstance;
  let davit: Engine;
  beforeAll(async () => {
    busybox = tar([{ name: "busybox", data: readFileSync(binary), mode: 0o755 }]);
    dockerd = await startDockerd();
    docker = await dockerd.engine();
    instance = await newInstance();
    davit = await instance.engine();
    // The layer that all share stays on both sides, whatever else goes.
    const keeper = buildImage({ layers: [busybox] });
    const archive = tar([
      { name: "0.tar", data: busybox },
      { name: "c.json", data: keeper.config },
      {
        name: "manifest.json",
        data: JSON.stringify([{ Config: "c.json", RepoTags: ["keeper:1"], Layers: ["0.tar"] }]),
      },
    ]);
    for (const engine of [docker, davit]) await Array.fromAsync(engine.images.load(streamOf(archive)));
  }, 120_000);
  afterAll(async () => {
    await docker?.close();
    await dockerd?.[Symbol.asyncDispose]();
    await instance?.[Symbol.asyncDispose]();
  }, 60_000);

  /** Both do the same with images of their own. */
  async function compare(situation: Situation, action: Action, what: string): Promise<void> {
    const subject = new Case(situation);
    const expected = await outcome(docker, situation, subject, action);
    const actual = await outcome(davit, situation, subject, action);
    expect({ what, ...situation, result: actual }).toEqual({ what, ...situation, result: expected });
  }

  const situations: [User, Child][] = [
    ["none", "none"],
    ["none", "named"],
    ["none", "unnamed"],
    ["created", "none"],
    ["created", "named"],
    ["running", "none"],
  ];
  const tagSets = [[], ["a:1"], ["a:1", "a:2"], ["a:1", "b:1"]];

  test.each(situations)(
    "an image with container: %s, child: %s",
    async (user, child) => {
      // Starting one takes long, and a running container allows little.
      for (const tags of user === "running" ? tagSets.slice(1, 3) : tagSets) {
        for (const reference of ["id", "short id", ...tags.slice(0, 1)]) {
          for (const force of [false, true]) {
            await compare(
              { tags, user, child },
              (engine, { base }) => {
                const hex = base.slice("sha256:".length);
                const text =
                  reference === "id" ? base : reference === "short id" ? hex.slice(0, 12) : reference;
                return engine.images.remove(text, { force });
              },
              `rmi ${force ? "-f " : ""}${reference}`,
            );
          }
        }
      }
    },
    120_000,
  );

  test("a child takes along its parents without a name, unless told otherwise", async () => {
    for (const noPrune of [false, true]) {
      for (const tags of [[], ["a:1"]]) {
        await compare(
          { tags, user: "none", child: "named" },
          (engine) => engine.images.remove("child:1", { noPrune }),
          `rmi ${noPrune ? "--no-prune " : ""}child:1`,
        );
      }
    }
  }, 60_000);

  test("prune removes what nobody uses, and tells how much came free", async () => {
    const mine = { label: ["case"] };
    for (const dangling of ["true", "false"]) {
      for (const [user, child] of situations) {
        for (const tags of [[], ["a:1"]]) {
          await compare(
            { tags, user, child },
            async (engine) => {
              const { ImagesDeleted, SpaceReclaimed } = await engine.images.prune({
                ...mine,
                dangling: [dangling],
              });
              // Docker goes through its images in no order of its own.
              return { SpaceReclaimed, items: ImagesDeleted?.map((item) => JSON.stringify(item)).sort() };
            },
            `image prune, dangling=${dangling}`,
          );
        }
      }
    }
  }, 120_000);

  test("prune's filters", async () => {
    const filters = [
      { until: ["2024-05-06T07:08:09Z"] },
      { until: ["2024-05-06T07:08:10Z"] },
      { until: ["1h"] },
      { until: ["soon"] },
      { until: ["1h", "2h"] },
      { "label!": ["case"] },
      { label: ["case=none"] },
      { label: ["other"] },
    ];
    for (const filter of filters) {
      await compare(
        { tags: [], user: "none", child: "none" },
        async (engine) => {
          try {
            return (await engine.images.prune(filter)).ImagesDeleted;
          } catch (error) {
            // The words alone: Docker 20.10 calls some of these faults its own.
            return error instanceof DavitError ? error.message : error;
          }
        },
        JSON.stringify(filter),
      );
    }
  }, 60_000);
});
