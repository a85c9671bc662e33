/** Does random things to an image store until it is told to end: `stress-process.ts <data root> <exec root> <seed> <archive>…`. */
import { DavitError } from "../../src/core/errors.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { openContent } from "../../src/images/content.ts";
import { listImages } from "../../src/images/list.ts";
import { loadImages } from "../../src/images/load.ts";
import { removeImage } from "../../src/images/remove.ts";
import { saveImages } from "../../src/images/save.ts";
import { tagImage } from "../../src/images/tag.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";
import { randomNumbers } from "./random.ts";

const [dataRoot = "", execRoot = "", seed = "", ...archives] = process.argv.slice(2);
const state = openState(describeInstance(dataRoot, execRoot));
const stores = { state, content: openContent(dataRoot), snapshots: openSnapshotter(state, undefined) };
const random = randomNumbers(Number(seed));

const acts: (() => Promise<unknown>)[] = [
  () => Array.fromAsync(loadImages(stores, Bun.file(archives[random(archives.length)] ?? "").stream())),
  () => removeImage(stores, `stress:${random(3)}`, { force: random(2) === 0 }),
  async () => tagImage(stores, `stress:${random(3)}`, `stress:${random(3)}`),
  () => Array.fromAsync(saveImages(stores, [`stress:${random(3)}`])),
  () => listImages(stores),
];

let ended = false;
process.stdin.once("data", () => {
  ended = true;
});
while (!ended) {
  // Where nothing has to be waited for, the end would never be read.
  await Bun.sleep(1);
  try {
    await acts[random(acts.length)]?.();
  } catch (error) {
    // Another process was faster: the image has gone, or its name.
    if (!(error instanceof DavitError) || error.kind !== "notFound") throw error;
  }
}
process.exit(0);
