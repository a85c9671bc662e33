/** Another process at work on the same instance: bun worker.ts DATA_ROOT EXEC_ROOT DRIVER WORK [FAULT POINT] */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { armFault } from "../../src/core/fault.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";

const [dataRoot = "", execRoot = "", driver = "", work = "", point = ""] = process.argv.slice(2);
const state = openState(describeInstance(dataRoot, execRoot));
const snapshots = openSnapshotter(state, driver);

if (work === "prepare") {
  armFault(point);
  await snapshots.prepare("worker-0", "base");
} else if (work === "prepare-remove") {
  await snapshots.prepare("worker-0", "base");
  writeFileSync(join(await snapshots.mount("worker-0"), "new"), "new");
  armFault(point);
  await snapshots.remove("worker-0");
} else if (work === "prepare-commit") {
  await snapshots.prepare("worker-0", "base");
  writeFileSync(join(await snapshots.mount("worker-0"), "new"), "new");
  armFault(point);
  await snapshots.commit("worker-0", "worker-committed");
} else if (work === "replace") {
  await snapshots.prepare("worker-0", undefined);
  writeFileSync(join(await snapshots.mount("worker-0"), "f"), "good");
  armFault(point);
  await snapshots.replace("worker-0", "base");
} else {
  for (let turn = 0; turn < 15; turn += 1) {
    const key = `${work}-${turn}`;
    await snapshots.prepare(key, "base");
    const root = await snapshots.mount(key);
    if (readFileSync(join(root, "f"), "utf8") !== "base") throw new Error(`${key} sees another's file`);
    writeFileSync(join(root, "f"), key);
    await snapshots.unmount(key);
    await snapshots.mount(key);
    if (readFileSync(join(root, "f"), "utf8") !== key) throw new Error(`${key} lost its file`);
    await snapshots.commit(key, `${key}-committed`);
    await snapshots.remove(`${key}-committed`);
  }
}
state.close();
