/** Removes an image in a process of its own, to be killed: `remove-process.ts <data root> <exec root> <image>`. */
import { armFault } from "../../src/core/fault.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { openContent } from "../../src/images/content.ts";
import { removeImage } from "../../src/images/remove.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";

const [dataRoot = "", execRoot = "", image = ""] = process.argv.slice(2);
armFault(process.env.DAVIT_FAULT);
const state = openState(describeInstance(dataRoot, execRoot));
await removeImage(
  { state, content: openContent(dataRoot), snapshots: openSnapshotter(state, undefined) },
  image,
);
state.close();
