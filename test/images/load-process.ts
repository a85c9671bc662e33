/** Loads an archive in a process of its own, to be killed: `load-process.ts <data root> <exec root> <archive> [stream]`. */
import { armFault } from "../../src/core/fault.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { openContent } from "../../src/images/content.ts";
import { loadImages } from "../../src/images/load.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";

const [dataRoot = "", execRoot = "", archive = "", way = ""] = process.argv.slice(2);
armFault(process.env.DAVIT_FAULT);
const state = openState(describeInstance(dataRoot, execRoot));
const stores = { state, content: openContent(dataRoot), snapshots: openSnapshotter(state, undefined) };
const source = way === "stream" ? Bun.file(archive).stream() : { path: archive };
for await (const { stream } of loadImages(stores, source, { quiet: true })) {
  if (stream !== undefined) process.stdout.write(stream);
}
state.close();
