/**
 * The whole corpus, built by davit and by BuildKit: the file systems, the configs and the histories have to be the
 * same, file by file. Skipped where BuildKit cannot be built or run.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../src/core/errors.ts";
import { startRegistry, type World } from "../registry/server-world.ts";
import { type BuildKit, buildBuildKit, startBuildKit } from "./buildkit.ts";
import { buildsOf, type CorpusBuild, prepareContext } from "./corpus-cases.ts";
import { type CorpusServer, startCorpusServer } from "./corpus-server.ts";
import { compared, type ImageContents, readImage } from "./image-contents.ts";
import { corpusFiles } from "./support.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

const built = buildBuildKit();
/** Only these, while one works on them. */
const wanted = new RegExp(process.env.DAVIT_TEST_CORPUS ?? "");
const cases = corpusFiles()
  .filter(({ name }) => wanted.test(name))
  .flatMap(({ name, text }) =>
    buildsOf(name).map((build) => ({
      name,
      text,
      build,
      title: build.title ? `${name} ${build.title}` : name,
    })),
  );
if ("missing" in built) {
  console.error(
    `SKIPPED: ${cases.length} builds of the corpus are not compared with BuildKit: ${built.missing}`,
  );
}

const base = "davit-test/base:latest";
/** Both builders at work on so many Dockerfiles: they are ahead of the tests. */
const atOnce = 3;

describe.skipIf("missing" in built)("davit and BuildKit make the same of", () => {
  let world: CorpusWorld;
  const results = new Map<string, Promise<Outcome>>();
  beforeAll(async () => {
    if (!("program" in built)) return;
    world = await openWorld(built.program);
    const waiting = [...cases];
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const result = world.build(next.name, next.text, next.build);
        results.set(next.title, result);
        await result.catch(() => undefined);
      }
    };
    for (let count = 0; count < atOnce; count += 1) void work();
  }, 120_000);
  afterAll(() => world?.[Symbol.asyncDispose]());

  test.each(cases)("$title", async ({ title, build }) => {
    while (!results.has(title)) await Bun.sleep(10);
    const outcome = await results.get(title);
    expect(outcome?.own).toEqual(outcome?.theirs);
    expect(outcome?.failure).toBe(build.failure);
  });
});

interface Outcome {
  readonly own: unknown;
  readonly theirs: unknown;
  /** What both say is wrong; undefined when both have built. */
  readonly failure: string | undefined;
}

/** An image, or why there is none. */
async function attempt(build: Promise<Uint8Array>): Promise<ImageContents | string> {
  try {
    return readImage(await build);
  } catch (error) {
    return messageOf(error);
  }
}

interface CorpusWorld extends AsyncDisposable {
  build(name: string, text: string, build: CorpusBuild): Promise<Outcome>;
}

/** Both builders, with the base image and all that is fetched. */
async function openWorld(program: string): Promise<CorpusWorld> {
  await using stack = new AsyncDisposableStack();
  const workshop: Workshop = stack.use(await openWorkshop());
  const registry: World = stack.use(await startRegistry());
  const { host } = new URL(registry.address);
  const { davit } = workshop;
  // Younger than all times in the contexts, which are clamped to it.
  const recent = 1_735_689_600;
  await workshop.build({ Dockerfile: "FROM davit-busybox\n" }, { names: [base], sourceDateEpoch: recent });
  await davit.output(["tag", base, `${host}/${base}`]);
  await davit.output(["push", `${host}/${base}`]);
  const pushed = await registry.call("/v2/davit-test/base/manifests/latest", { method: "HEAD" });
  const digested = `${host}/davit-test/base@${pushed.headers.get("docker-content-digest")}`;
  const server: CorpusServer = stack.use(
    startCorpusServer(join(import.meta.dir, "corpus", "add-archive", "archive.tar")),
  );
  const agent = stack.use(await startAgent(davit.directory));
  const buildkit: BuildKit = stack.use(startBuildKit(program, host));
  const began = BigInt(Math.floor(Date.now() / 1000)) * 1_000_000_000n;
  let count = 0;
  const kept = stack.move();
  return {
    async build(
      name,
      text,
      { buildArguments = {}, target, secrets = {}, ssh, entitlements = [], epoch, failure },
    ) {
      count += 1;
      const context = join(davit.directory, `corpus-${count}`);
      mkdirSync(context);
      prepareContext(name, context);
      const given = {
        ...(/^ARG SERVER\b/m.test(text) ? { SERVER: server.address } : {}),
        ...(/^ARG DIGESTED\b/m.test(text) ? { DIGESTED: digested } : {}),
        ...(epoch === undefined ? {} : { SOURCE_DATE_EPOCH: String(epoch) }),
        ...buildArguments,
      };
      const [own, theirs] = await Promise.all([
        attempt(
          buildWithDavit(workshop, context, {
            buildArguments: given,
            ...(target === undefined ? {} : { target }),
            secrets: Object.entries(secrets).map(([id, content]) => ({ id, content: Buffer.from(content) })),
            ssh: ssh ? [{ id: "default", socket: agent.socket }] : [],
            entitlements,
            ...(epoch === undefined ? {} : { sourceDateEpoch: epoch }),
          }),
        ),
        attempt(
          buildkit.build({
            context,
            buildArguments: given,
            ...(target === undefined ? {} : { target }),
            secrets,
            ...(ssh ? { ssh: agent.socket } : {}),
            entitlements,
            rewritesTimes: epoch !== undefined,
          }),
        ),
      ]);
      if (typeof own !== "string" && typeof theirs !== "string")
        return { ...compared(own, theirs, epoch === undefined ? began : undefined), failure: undefined };
      const [said, saidThere] = [own, theirs].map((each) => (typeof each === "string" ? each : "an image"));
      const isSame = failure !== undefined && said?.includes(failure) && saidThere?.includes(failure);
      return isSame
        ? { own: failure, theirs: failure, failure }
        : { own: said, theirs: saidThere, failure: undefined };
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** @returns an OCI archive */
async function buildWithDavit(
  workshop: Workshop,
  context: string,
  request: Parameters<Workshop["build"]>[1],
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const write = async (bytes: Uint8Array) => {
    parts.push(bytes.slice());
  };
  await workshop.build(context, {
    ...request,
    outputs: [{ kind: "archive", format: "oci", form: {}, write }],
  });
  return Buffer.concat(parts);
}

interface Agent extends AsyncDisposable {
  readonly socket: string;
}

/** A real ssh-agent, without keys. */
async function startAgent(directory: string): Promise<Agent> {
  const socket = join(directory, "agent");
  const child = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore", stderr: "inherit" });
  while (
    !(await Bun.file(socket)
      .stat()
      .then(
        () => true,
        () => false,
      ))
  ) {
    if (child.exitCode !== null) throw new Error("ssh-agent has ended");
    await Bun.sleep(10);
  }
  return {
    socket,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}
