/** Freezes a container, and waits until it is. Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst */
import { SystemFailure } from "../core/errors.ts";
import { type CgroupLayout, isFrozen } from "./cgroups.ts";
import { type OciRuntime, pauseContainer, resumeContainer } from "./runtimes.ts";

export interface FreezeOptions {
  layout: CgroupLayout;
  /** The container's cgroup. */
  path: string;
  /** Milliseconds that a process may stay in the kernel, waiting for a disk or a file server. 10 s when left out. */
  patience?: number;
}

/**
 * Resolves when no process of the container runs any more.
 * @throws NotFound, Conflict when it does not run; SystemFailure when a process does not come out of the kernel: then
 * all of them run again.
 */
export async function freezeContainer(
  runtime: OciRuntime,
  id: string,
  { layout, path, patience = 10_000 }: FreezeOptions,
): Promise<void> {
  const until = performance.now() + patience;
  let asked = await askToFreeze(runtime, id);
  while (!asked || isFrozen(layout, path) === false) {
    if (performance.now() > until) {
      if (asked) await resumeContainer(runtime, id);
      throw new SystemFailure(
        `cannot pause container ${id}: unable to freeze: one of its processes has waited for a disk or a file server ` +
          `for ${patience / 1000} seconds (state D in ps); it runs again`,
      );
    }
    await Bun.sleep(2);
    asked ||= await askToFreeze(runtime, id);
  }
}

/** False when the runtime has given up and let all of them run again, as runc does. */
async function askToFreeze(runtime: OciRuntime, id: string): Promise<boolean> {
  try {
    await pauseContainer(runtime, id);
    return true;
  } catch (error) {
    if (error instanceof SystemFailure && error.message.includes("unable to freeze")) return false;
    throw error;
  }
}
