/** Pulls an image in a process of its own, to be killed: `pull-process.ts <data root> <exec root> <reference> [lazy]`. */
import { armFault } from "../../src/core/fault.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { openLocalEngine } from "../../src/engine/local/index.ts";

const [dataRoot = "", execRoot = "", reference = "", way = ""] = process.argv.slice(2);
armFault(process.env.DAVIT_FAULT);
const instance = describeInstance(dataRoot, execRoot);
const engine = await openLocalEngine({ instance, self: [process.execPath], searchPath: "" });
for await (const _ of engine.images.pull(reference, { lazy: way === "lazy" })) {
  // Progress; a failure throws.
}
await engine.close();
// Connections that are kept for the next transfer would keep the process alive.
process.exit(0);
