/**
 * Builds, beside Docker's BuildKit, Docker's classic builder and buildah, each as its users start it. Every cold round
 * has a Dockerfile and a context of its own, the same for all engines. What is made is removed when all is measured:
 * ext4 is slow to make files for a minute after it has removed many.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxImage } from "../test/harness/images.ts";
import { changeOneFile, contextText, readAll, writeContext } from "./context.ts";
import type { Subject } from "./engines.ts";
import { interleave, run, summarize, type Timing } from "./measure.ts";
import type { Part, Row } from "./report.ts";
import { peakOf } from "./transfers.ts";

/** One way to build. */
interface Builder extends Subject {
  readonly kind: "davit" | "BuildKit" | "classic" | "buildah";
  /** The engine in whose column it is shown, and which has its base image. */
  readonly engine: Subject;
  /** The words before the tag and the context. */
  readonly verb: readonly string[];
}

/** What a RUN step is worth on its own: with a shell, a process, and a file that it makes. */
const runSteps = 10;

export async function measureBuilds(part: Part): Promise<void> {
  const { subjects, longRounds, scratch, note } = part;
  const builders = subjects.flatMap(buildersOf);
  const root = mkdtempSync(join(scratch, "builds-"));
  const shortRounds = { warmup: 1, counted: longRounds.counted === 1 ? 3 : 9 };
  await measureRunSteps(part, builders, root, shortRounds);
  await measureStages(part, builders, root, shortRounds);
  await measureContexts(part, builders, root);
  for (const builder of builders) await removeImages(builder);
  rmSync(root, { recursive: true, force: true });
  note(
    "In the rows of builds, Docker's column is its BuildKit (`DOCKER_BUILDKIT=1`), or its classic builder where the row says so, and Podman's is `buildah build --layers`.",
  );
}

function buildersOf(engine: Subject): Builder[] {
  const { command } = engine;
  const dispose = { [Symbol.asyncDispose]: async () => {} };
  switch (engine.name) {
    case "davit":
      return [{ ...engine, ...dispose, kind: "davit", engine, verb: ["build", "-q"] }];
    case "Docker": {
      const with_ = (kind: "BuildKit" | "classic", value: string): Builder => ({
        ...engine,
        ...dispose,
        kind,
        engine,
        environment: { ...engine.environment, DOCKER_BUILDKIT: value },
        verb: ["build", "-q"],
      });
      return [with_("BuildKit", "1"), with_("classic", "0")];
    }
    case "Podman": {
      if (Bun.which("buildah") === null) return [];
      // The same storage: the base image is there already.
      const at = (flag: string) => command[command.indexOf(flag) + 1] ?? "";
      const storage = ["--root", at("--root"), "--runroot", at("--runroot"), "--storage-driver", "overlay"];
      const words = ["buildah", ...storage];
      return [
        { ...engine, ...dispose, kind: "buildah", engine, command: words, verb: ["build", "-q", "--layers"] },
      ];
    }
  }
}

/** Builds what lies in a directory. @returns milliseconds */
async function build(builder: Builder, directory: string, more: readonly string[] = []): Promise<number> {
  const began = performance.now();
  await run(builder, wordsOf(builder, directory, more));
  return performance.now() - began;
}

function wordsOf({ verb, kind }: Builder, directory: string, more: readonly string[] = []): string[] {
  return [...verb, ...more, "-t", `davit-bench-built-${kind.toLowerCase()}:latest`, directory];
}

/** What others have left to be written is not this one's work. */
function settle(): void {
  Bun.spawnSync(["sync"]);
}

type Rounds = Part["rounds"];
type Timings = ReadonlyMap<Builder, Timing>;

/** A row for BuildKit and buildah, and one for the classic builder with davit's numbers of the same rounds. */
function addRows({ add }: Part, row: Omit<Row, "values">, timings: Timings, classic = true): void {
  const valuesOf = (kinds: readonly Builder["kind"][]) =>
    new Map(
      [...timings].flatMap(([builder, timing]) =>
        kinds.includes(builder.kind) ? [[builder.engine, timing] as const] : [],
      ),
    );
  add({ ...row, values: valuesOf(["davit", "BuildKit", "buildah"]) });
  if (!classic || ![...timings.keys()].some(({ kind }) => kind === "classic")) return;
  const title = "same, beside Docker's classic builder";
  add({ title, unit: row.unit, limits: {}, values: valuesOf(["davit", "classic"]) });
}

async function measureRunSteps(
  part: Part,
  builders: readonly Builder[],
  root: string,
  rounds: Rounds,
): Promise<void> {
  const directory = join(root, "steps");
  mkdirSync(directory);
  const write = (round: number) => {
    const steps = Array.from({ length: runSteps }, (_, step) => `RUN echo ${round} ${step} > /step-${step}`);
    writeFileSync(join(directory, "Dockerfile"), [`FROM ${busyboxImage}`, ...steps, ""].join("\n"));
  };
  const cold = await interleave(builders, rounds, (builder, round) => {
    write(round);
    settle();
    return build(builder, directory);
  });
  const title = `\`build\` of a Dockerfile with ${runSteps} RUN steps, cold`;
  addRows(part, { title, unit: "ms", limits: { Docker: 0.4, Podman: 0.4 } }, cold);
  const cached = await interleave(builders, part.rounds, (builder) => build(builder, directory));
  addRows(part, { title: "same, all of it cached", unit: "ms", limits: { Docker: 0.5 } }, cached);
}

/** How much longer four stages of `sleep 1` take than one. */
async function measureStages(
  part: Part,
  builders: readonly Builder[],
  root: string,
  rounds: Rounds,
): Promise<void> {
  const directory = join(root, "stages");
  mkdirSync(directory);
  const write = (word: string, count: number) => {
    const numbers = Array.from({ length: count }, (_, stage) => stage);
    const stages = numbers.map(
      (stage) => `FROM ${busyboxImage} AS stage-${stage}\nRUN sleep 1 && echo ${word} > /out-${stage}\n`,
    );
    const copies = numbers.map((stage) => `COPY --from=stage-${stage} /out-${stage} /\n`);
    writeFileSync(join(directory, "Dockerfile"), [...stages, "FROM scratch\n", ...copies].join(""));
  };
  const able = builders.filter(({ kind }) => kind !== "classic");
  const timings = await interleave(able, rounds, async (builder, round) => {
    const jobs = builder.kind === "buildah" ? ["--jobs", "4"] : [];
    write(`one-${round}`, 1);
    const one = await build(builder, directory, jobs);
    write(`four-${round}`, 4);
    return (await build(builder, directory, jobs)) - one;
  });
  const title = "4 independent stages of `sleep 1`: how much longer they take than one";
  addRows(part, { title, unit: "ms", limits: { absolute: 500 } }, timings);
}

async function measureContexts(part: Part, builders: readonly Builder[], root: string): Promise<void> {
  const { longRounds, add } = part;
  const directories = Array.from({ length: longRounds.counted }, (_, round) => {
    const directory = join(root, `context-${round}`);
    writeContext(directory, round);
    writeFileSync(join(directory, "Dockerfile"), `FROM ${busyboxImage}\nCOPY . /app\n`);
    return directory;
  });
  const peaks: number[] = [];
  const cold = await interleave(builders, { ...longRounds, warmup: 0 }, async (builder, round) => {
    const directory = directories[round] ?? "";
    readAll(directory);
    settle();
    const began = performance.now();
    const peak = await peakOf(builder, wordsOf(builder, directory));
    if (builder.kind === "davit") peaks.push(peak);
    return performance.now() - began;
  });
  // The last context is known to all of them now.
  const known = directories.at(-1) ?? "";
  const rounds = { warmup: 1, counted: longRounds.counted === 1 ? 1 : 5 };
  const changed = await interleave(builders, rounds, async (builder, round) => {
    changeOneFile(known, `${builder.kind} ${round}`);
    readAll(known);
    settle();
    const began = performance.now();
    const peak = await peakOf(builder, wordsOf(builder, known));
    if (builder.kind === "davit") peaks.push(peak);
    return performance.now() - began;
  });
  const title = `\`COPY\` of a context of ${contextText}, cold`;
  addRows(part, { title, unit: "s", limits: { Docker: 0.7 } }, cold);
  addRows(part, { title: "same, one source file changed", unit: "s", limits: { Docker: 0.5 } }, changed);
  const davit = builders.find(({ kind }) => kind === "davit");
  if (davit === undefined) return;
  add({
    title: "same two: most memory that the build had (RSS)",
    unit: "MB",
    limits: { absolute: 200 },
    values: new Map([[davit.engine, summarize(peaks)]]),
  });
}

/** The images, and what the builders keep of them. */
async function removeImages(builder: Builder): Promise<void> {
  await run(builder, ["rmi", "-f", `davit-bench-built-${builder.kind.toLowerCase()}:latest`]);
  if (builder.kind === "buildah") await run(builder, ["rmi", "--prune", "-f"]);
  else await run(builder, ["image", "prune", "-f"]);
  if (builder.kind === "davit" || builder.kind === "BuildKit")
    await run(builder, ["builder", "prune", "-af"]);
}
