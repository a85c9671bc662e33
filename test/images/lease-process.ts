/**
 * A pull at work, in a process of its own: bun lease-process.ts DATA_ROOT EXEC_ROOT NAME…
 * Commits a layer of each name, leased and not recorded, unpacks another, writes a blob; then says so and waits.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ChainId } from "../../src/core/ids.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { openContent } from "../../src/images/content.ts";
import { lease, unpackKey } from "../../src/images/leases.ts";
import { digestOf } from "../../src/images/manifest.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";

const [dataRoot = "", execRoot = "", ...names] = process.argv.slice(2);
const state = openState(describeInstance(dataRoot, execRoot));
const snapshots = openSnapshotter(state, undefined);
const session = openContent(dataRoot).openSession();

async function unpack(name: string): Promise<string> {
  const key = unpackKey();
  await snapshots.prepare(key, undefined);
  writeFileSync(join((await snapshots.layerTarget(key)).path, name), name);
  return key;
}

for (const name of names) {
  const chainId = digestOf(name) as ChainId;
  const key = await unpack(name);
  lease(session, chainId);
  await snapshots.commit(key, chainId);
}
await unpack("unfinished");
session.add("a blob on its way");
console.log("ready");
await Bun.sleep(600_000);
