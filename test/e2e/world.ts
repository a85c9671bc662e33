/** What an instance has, as one value to compare: a command that fails must leave all of it as it was. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { until } from "../harness/eventually.ts";
import type { DavitInstance } from "../harness/instance.ts";
import { filledSets, findInKernel, ownershipOf } from "../harness/kernel.ts";

/** Everything of the instance in the kernel, on disk, and in its own lists. */
export async function stateOf(davit: DavitInstance): Promise<Record<string, unknown>> {
  const { instance } = davit;
  const facts = findInKernel(ownershipOf(instance));
  const [containers, volumes, images] = [
    await davit.output(["ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"]),
    await davit.output(["volume", "ls", "--quiet"]),
    await davit.output(["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]),
  ];
  return {
    containers,
    volumes,
    images,
    mounts: facts.mounts,
    processes: facts.processes,
    links: facts.links.filter((name) => name !== instance.bridge),
    elements: facts.tables.flatMap(filledSets),
    cgroups: facts.cgroups.filter((path) => !path.endsWith(instance.cgroupParent)),
    snapshots: namesIn(join(instance.dataRoot, "overlay2")).filter((name) => name !== "lock"),
    directories: namesIn(join(instance.dataRoot, "containers")),
    bundles: namesIn(join(instance.execRoot, "containers")),
    runtime: namesIn(join(instance.execRoot, "runtime-crun")),
    locks: namesIn(join(instance.execRoot, "locks")).filter((name) => name.startsWith("container-")),
    halfWritten: namesIn(join(instance.dataRoot, "content")).filter((name) => name.startsWith("index.json.")),
    ingest: namesIn(join(instance.dataRoot, "content", "ingest")),
  };
}

/** Waits for what the kernel and conmon do in the background, then compares. */
export async function expectStateAgain(davit: DavitInstance, before: Record<string, unknown>): Promise<void> {
  let now: Record<string, unknown> = {};
  const same = until(async () => {
    now = await stateOf(davit);
    return Bun.deepEquals(now, before);
  }, 5_000);
  await same.catch(() => {
    const changed = Object.keys(now).filter((key) => !Bun.deepEquals(now[key], before[key]));
    throw new Error(
      `the state is not as before:\n${changed
        .map((key) => `${key}: ${JSON.stringify(before[key])} → ${JSON.stringify(now[key])}`)
        .join("\n")}`,
    );
  });
}

function namesIn(path: string): string[] {
  return existsSync(path) ? readdirSync(path).sort() : [];
}
