/**
 * Images on their way: pull and push of a large image against a registry on loopback (Debian's docker-registry, so
 * that no engine meets its own), the first output of an image that is not there yet, and registries beside each other.
 *
 * Everybody works in the network namespace of the bench's dockerd, which cannot see the host's loopback.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processesWithArgument } from "../src/linux/process-search.ts";
import type { Subject } from "./engines.ts";
import { describeImage, editionsOf, pulledImage, writeLargeImage } from "./image.ts";
import {
  follow,
  insideNetwork,
  interleave,
  type Program,
  run,
  summarize,
  type Timing,
  time,
} from "./measure.ts";
import { measureRegistries } from "./registries.ts";
import type { Part } from "./report.ts";

const source = "127.0.0.1:5110";
const target = "127.0.0.1:5111";

export async function measureTransfers(part: Part): Promise<void> {
  const { subjects: engines, longRounds: rounds, scratch, add, note } = part;
  const missing = ["docker-registry", "skopeo"].filter((program) => Bun.which(program) === null);
  if (missing.length > 0) return note(`Transfers were not measured: not installed: ${missing.join(", ")}.`);
  const network = namespaceOf(engines);
  const subjects = engines.map((subject) => entering(subject, network));
  const root = mkdtempSync(join(scratch, "registries-"));
  await using _source = await startRegistry(network, source, join(root, "source"));
  await using _target = await startRegistry(network, target, join(root, "target"));
  // One for each cold pull and one for each cold run.
  const editions = editionsOf(pulledImage, 2 * rounds.counted);
  for (const image of editions) {
    const archive = join(root, "image.tar");
    writeLargeImage(archive, image);
    const destination = `docker://${source}/${image.name}`;
    await follow(skopeo(network), [
      "copy",
      "-q",
      "--dest-tls-verify=false",
      `docker-archive:${archive}`,
      destination,
    ]);
    rmSync(archive);
  }
  const names = editions.map(({ name }) => `${source}/${name}`);
  const [first = ""] = names;
  const pushed = `${target}/${pulledImage.name}`;

  const what = describeImage(pulledImage);
  const peaks = new Map<Subject, number[]>(subjects.map((subject) => [subject, []]));
  add({
    title: `cold \`pull\` of ${what}, until it is safe on the disk`,
    unit: "s",
    limits: { Docker: 0.5, Podman: 0.5 },
    values: await interleave(subjects, rounds, async (subject, round) => {
      // What others have left to be written is not this one's work.
      Bun.spawnSync(["sync"]);
      const began = performance.now();
      peaks.get(subject)?.push(await peakOf(subject, pull(subject, names[round] ?? "")));
      // davit's own ends when the image is safe; the others promise nothing.
      if (subject.name !== "davit") Bun.spawnSync(["sync"]);
      return performance.now() - began;
    }),
  });
  const davit = subjects.filter(({ name }) => name === "davit");
  add({
    title: "same: most memory that the pull had (RSS)",
    unit: "MB",
    limits: { absolute: 150 },
    values: new Map(davit.map((subject) => [subject, summarize(peaks.get(subject) ?? [])])),
  });
  add({
    title: "same, when every layer is there",
    unit: "ms",
    limits: { Docker: 0.5 },
    values: await interleave(subjects, part.rounds, (subject) => time(subject, pull(subject, first))),
  });
  for (const subject of subjects) await run(subject, ["tag", first, pushed]);
  add({
    title: "`push` of the same, cold",
    unit: "s",
    limits: { Docker: 0.6 },
    values: await interleave(subjects, rounds, async (subject) => {
      rmSync(join(root, "target", "docker"), { recursive: true, force: true });
      Bun.spawnSync(["sync"]);
      return await time(subject, push(subject, pushed));
    }),
  });
  for (const subject of subjects) await run(subject, push(subject, pushed));
  add({
    title: "same, when all of it is there",
    unit: "ms",
    limits: { Docker: 0.5 },
    values: await interleave(subjects, part.rounds, (subject) => time(subject, push(subject, pushed))),
  });
  add({
    title: "from `run` to the first output of the same image, when it is not there yet",
    unit: "s",
    limits: {},
    values: await interleave(subjects, rounds, async (subject, round) => {
      Bun.spawnSync(["sync"]);
      const name = names[rounds.counted + round] ?? "";
      const words = ["run", "--rm", ...insecure(subject), name, "/bin/busybox", "echo", "hello"];
      const { firstOutput } = await follow(subject, words);
      if (firstOutput === undefined) throw new Error(`${subject.name} ${words.join(" ")} said nothing`);
      return firstOutput;
    }),
  });
  await copySideBySide(first, davit, network, rounds.counted, root, note);
  const [ours, docker] = ["davit", "Docker"].map((name) => subjects.find((one) => one.name === name));
  if (ours !== undefined && docker !== undefined) {
    const executable = ours.command.at(-1) ?? "";
    for (const { title, davit, dockerRegistry } of await measureRegistries(
      executable,
      root,
      rounds.counted,
    )) {
      const values = new Map([
        [ours, davit],
        [docker, dockerRegistry],
      ]);
      add({ title, unit: "s", limits: { Docker: 1 }, values });
    }
  }
  rmSync(root, { recursive: true, force: true });
  note(
    "Transfers: all engines in one network namespace with Debian's docker-registry; the times of Docker's and Podman's pull include a `sync` after it.",
  );
  note("In the rows of registries, Docker's column is Debian's docker-registry.");
}

function pull(subject: Subject, name: string): string[] {
  return ["pull", "-q", ...insecure(subject), name];
}

function push(subject: Subject, name: string): string[] {
  return ["push", "-q", ...insecure(subject), name];
}

/** Docker and davit take a registry on loopback as it is. */
function insecure(subject: Subject): string[] {
  return subject.name === "Podman" ? ["--tls-verify=false"] : [];
}

/** The network namespace of the bench's dockerd, where there is one. */
function namespaceOf(engines: readonly Subject[]): string | undefined {
  const docker = engines.find(({ name }) => name === "Docker");
  const [pid] = docker === undefined ? [] : processesWithArgument(join(docker.mark, "data"));
  return pid === undefined ? undefined : `/proc/${pid}/ns/net`;
}

function skopeo(network: string | undefined): Program {
  return { name: "skopeo", command: ["skopeo"], environment: {}, ...inside(network) };
}

/** Docker's client does no transfers itself. */
function entering(subject: Subject, network: string | undefined): Subject {
  return subject.name === "Docker" ? subject : { ...subject, ...inside(network) };
}

function inside(network: string | undefined): { network?: string } {
  return network === undefined ? {} : { network };
}

/** The most memory a command had, in megabytes. */
export async function peakOf(subject: Subject, args: readonly string[]): Promise<number> {
  return (await follow(subject, args, true)).peak / 2 ** 20;
}

/** `davit image copy` beside skopeo, from the registry into a directory. */
async function copySideBySide(
  name: string,
  davit: readonly Subject[],
  network: string | undefined,
  count: number,
  root: string,
  note: Part["note"],
): Promise<void> {
  const times = { davit: [] as number[], skopeo: [] as number[] };
  const directory = join(root, "layout");
  const timed = async (program: Program, words: readonly string[], samples: number[]) => {
    rmSync(directory, { recursive: true, force: true });
    Bun.spawnSync(["sync"]);
    const began = performance.now();
    await follow(program, [...words, `docker://${name}`, `oci:${directory}:latest`]);
    Bun.spawnSync(["sync"]);
    samples.push(performance.now() - began);
  };
  for (let round = 0; round < count; round += 1) {
    for (const subject of davit) await timed(subject, ["image", "copy"], times.davit);
    await timed(skopeo(network), ["copy", "-q", "--src-tls-verify=false"], times.skopeo);
  }
  if (times.davit.length === 0) return;
  const [ours, theirs]: [Timing, Timing] = [summarize(times.davit), summarize(times.skopeo)];
  const seconds = (timing: Timing) => `${(timing.median / 1000).toFixed(2)} s`;
  const ratio = (ours.median / theirs.median).toFixed(2);
  note(
    `The same image copied from the registry into an OCI directory, and a \`sync\`: \`davit image copy\` ${seconds(ours)}, skopeo ${seconds(theirs)} (${ratio} ×).`,
  );
}

/** Debian's docker-registry, without caches, so that its directory may be emptied under it. */
async function startRegistry(
  network: string | undefined,
  address: string,
  directory: string,
): Promise<AsyncDisposable> {
  mkdirSync(directory, { recursive: true });
  const configuration = `${directory}.yml`;
  writeFileSync(
    configuration,
    `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${directory} }, delete: { enabled: true } }\nhttp: { addr: "${address}" }\n`,
  );
  const child = spawnInside(network, ["docker-registry", "serve", configuration], "ignore");
  const deadline = performance.now() + 10_000;
  while (!(await answers(network, address))) {
    if (performance.now() > deadline) throw new Error(`docker-registry does not answer at ${address}`);
    await Bun.sleep(100);
  }
  return {
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}

async function answers(network: string | undefined, address: string): Promise<boolean> {
  const words = ["skopeo", "list-tags", "--tls-verify=false", `docker://${address}/none`];
  const probe = spawnInside(network, words, "pipe");
  const text = await new Response(probe.stderr).text();
  await probe.exited;
  return !/connection refused/.test(text);
}

function spawnInside<Stderr extends "ignore" | "pipe">(
  network: string | undefined,
  command: string[],
  stderr: Stderr,
): Bun.Subprocess<"ignore", "ignore", Stderr> {
  return insideNetwork(network, () => Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr }));
}
