/**
 * LocalEngine: the Engine whose work is done in this very process, on this machine. One file a verb; they meet
 * in the instance's records (src/state) and in nothing else, so that any number of processes may work side by side.
 */
import type { Instance } from "../../core/instance.ts";
import { openState } from "../../state/state.ts";
import type { Engine } from "../engine.ts";
import { attach } from "./attach.ts";
import { create } from "./create.ts";
import { createExec, inspectExec, resizeExec, startAttached, startDetached } from "./exec.ts";
import { localImages } from "./images.ts";
import { inspect } from "./inspect.ts";
import { kill } from "./kill.ts";
import { list } from "./list.ts";
import { makeLocal } from "./local.ts";
import { logs } from "./logs.ts";
import { localNetworks } from "./networks.ts";
import { pause, unpause } from "./pause.ts";
import { remove } from "./remove.ts";
import { rename } from "./rename.ts";
import { repair } from "./repair.ts";
import { resize } from "./resize.ts";
import { start } from "./start.ts";
import { stats } from "./stats.ts";
import { restart, stop } from "./stop.ts";
import { localSystem } from "./system.ts";
import { top } from "./top.ts";
import { volumeStore } from "./volume-store.ts";
import { localVolumes } from "./volumes.ts";
import { wait } from "./wait.ts";

export interface LocalEngineOptions {
  instance: Instance;
  /** Program and arguments that start davit itself. */
  self: readonly string[];
  /** PATH for runtimes and conmon. */
  searchPath: string;
  storageDriver?: string;
}

/** Opens the instance, making it on first use, and repairs what a crash may have left. */
export async function openLocalEngine(options: LocalEngineOptions): Promise<Engine> {
  const state = openState(options.instance);
  const local = makeLocal({ ...options, state });
  await repair(local);
  return {
    containers: {
      list: (query) => list(local, query),
      create: (request, query) => create(local, request, query),
      inspect: (id, query) => inspect(local, id, query),
      start: (id) => start(local, id),
      stop: (id, query) => stop(local, id, query),
      restart: (id, query) => restart(local, id, query),
      kill: (id, signal) => kill(local, id, signal),
      pause: (id) => pause(local, id),
      unpause: (id) => unpause(local, id),
      rename: (id, name) => rename(local, id, name),
      remove: (id, query) => remove(local, id, query),
      wait: (id, condition, signal) => wait(local, id, condition, signal),
      attach: (id, query) => attach(local, id, query),
      resize: (id, size) => resize(local, id, size),
      logs: (id, query) => logs(local, id, query),
      top: (id, psArgs) => top(local, id, psArgs),
      stats: (id, query) => stats(local, id, query),
    },
    execs: {
      create: (id, config) => createExec(local, id, config),
      start: (id, query) => startAttached(local, id, query),
      startDetached: (id) => startDetached(local, id),
      resize: (id, size) => resizeExec(local, id, size),
      inspect: (id) => inspectExec(local, id),
    },
    images: localImages(local),
    volumes: localVolumes(volumeStore(local)),
    networks: localNetworks(local),
    system: localSystem(local),
    close: async () => state.close(),
  };
}
