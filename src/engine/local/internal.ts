/** Verbs that davit runs itself: conmon's exit command, and the process that restarts a container. */
import { DavitError, InvalidParameter, messageOf } from "../../core/errors.ts";
import { type ContainerId, isContainerId } from "../../core/ids.ts";
import type { Instance } from "../../core/instance.ts";
import { shortenFilters } from "../../runtime/config-file.ts";
import { beginOperation, containerById, endOperation, updateContainer } from "../../state/containers.ts";
import { openState } from "../../state/state.ts";
import { type Local, makeLocal } from "./local.ts";
import { lockContainer } from "./lock-container.ts";
import { settleLocked } from "./settle.ts";
import { startLocked } from "./start.ts";
import { tidyAfter, tidyAll } from "./tidy.ts";

export interface InternalOptions {
  instance: Instance;
  self: readonly string[];
  searchPath: string;
}

/** @returns the exit code of the process. */
export async function runInternal(args: readonly string[], options: InternalOptions): Promise<number> {
  const [verb, id = ""] = args;
  // Not closed: a close would cost a checkpoint, and the process ends here anyway.
  const open = () => makeLocal({ ...options, state: openState(options.instance, "background") });
  switch (verb) {
    case "exit": {
      const container = checkedId(id);
      return await afterExit(open(), container);
    }
    case "restart": {
      const container = checkedId(id);
      return await restartByPolicy(open(), container);
    }
    case "tidy":
      await tidyAll(open());
      await shortenFilters(options.instance);
      return 0;
    case "settle": {
      const { settleImages } = await import("../../build/output/store.ts");
      const local = open();
      await settleImages(local, local.bootId);
      return 0;
    }
    default:
      throw new InvalidParameter(`unknown internal verb: ${verb}`);
  }
}

function checkedId(text: string): ContainerId {
  if (!isContainerId(text)) throw new InvalidParameter("internal verbs need a container id");
  return text;
}

/**
 * The container has ended. Whoever else records its end and removes it, when we have the lock it is done: what is
 * left are the files of a container that is gone.
 */
async function afterExit(local: Local, id: ContainerId): Promise<number> {
  {
    using _ = await lockContainer(local, id);
    await settleLocked(local, id);
    await tidyAfter(local, id);
  }
  await shortenFilters(local.instance);
  return 0;
}

/** Sleeps out the back-off, without the lock so that a stop can come in between, and starts the container again. */
async function restartByPolicy(local: Local, id: ContainerId): Promise<number> {
  const record = containerById(local.state, id);
  if (record?.state.status !== "restarting") return 0;
  beginOperation(local.state, { containerId: id, verb: "restart", owner: local.me });
  await Bun.sleep(Math.max(0, record.state.restartAt - Date.now()));
  using _ = await lockContainer(local, id);
  const now = containerById(local.state, id);
  if (now?.state.status !== "restarting") {
    endOperation(local.state, id);
    return 0;
  }
  try {
    await startLocked(local, now);
    return 0;
  } catch (error) {
    if (!(error instanceof DavitError)) throw error;
    noteFailure(local, id, messageOf(error));
    return 1;
  }
}

/** A restart that cannot be done ends the container, as in Docker; its `Error` says why. */
function noteFailure(local: Local, id: ContainerId, reason: string): void {
  const record = containerById(local.state, id);
  if (record === undefined) return;
  updateContainer(local.state, { ...record, state: { status: "exited" }, error: reason });
}
