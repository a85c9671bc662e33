/** A stack of 60 layers below a data root whose path no single mount option could hold: bun deep-root.ts DIRECTORY */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeInstance } from "../../src/core/instance.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";

const [top = ""] = process.argv.slice(2);
const state = openState(describeInstance(join(top, "data"), join(top, "exec")));
const snapshots = openSnapshotter(state, "overlay2");
let parent: string | undefined;
for (let index = 0; index < 60; index += 1) {
  await snapshots.prepare("next", parent);
  writeFileSync(join((await snapshots.layerTarget("next")).path, `f${index}`), "");
  parent = `layer-${index}`;
  await snapshots.commit("next", parent);
}
await snapshots.prepare("top", parent);
const before = process.cwd();
const root = await snapshots.mount("top");
if (readdirSync(root).length !== 60) throw new Error("not all layers are seen");
if (process.cwd() !== before) throw new Error("the working directory has changed");
await snapshots.remove("top");
state.close();
