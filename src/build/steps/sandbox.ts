/** What belongs to one RUN while it lasts: an id, by which repair finds it, and a directory `<exec root>/builds/<id>`. */

import { type ContainerId, newContainerId } from "../../core/ids.ts";
import type { Instance } from "../../core/instance.ts";
import { join } from "../../core/paths.ts";
import { removeTree } from "../../linux/directories.ts";
import { mkdirSync } from "../../linux/files.ts";
import { startTimeOf } from "../../linux/processes.ts";
import { beginOperation, endOperation } from "../../state/containers.ts";
import type { State } from "../../state/state.ts";

export interface Sandbox extends Disposable {
  readonly id: ContainerId;
  /** Absolute; nobody else gets in. */
  readonly directory: string;
}

/** The intent is recorded first: a build that is killed is found by it (engine/local/repair-work.ts). */
export function openSandbox(state: State): Sandbox {
  const id = newContainerId();
  const owner = { pid: process.pid, started: startTimeOf(process.pid) ?? 0 };
  beginOperation(state, { containerId: id, verb: "build", owner });
  const directory = sandboxPath(state.instance, id);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return {
    id,
    directory,
    [Symbol.dispose]: () => {
      removeTree(directory);
      endOperation(state, id);
    },
  };
}

export function sandboxPath(instance: Instance, id: string): string {
  return join(instance.execRoot, "builds", id);
}
