/** The working containers of a LocalEngine: each verb is loaded when it is called. */
import type { Local } from "../local/local.ts";
import type { WorkingContainers } from "../working.ts";

export function lazyWorkingContainers(local: Local): WorkingContainers {
  return {
    from: async (request) => (await import("./from.ts")).from(local, request),
    list: async () => (await import("./list.ts")).list(local),
    inspect: async (container) => (await import("./inspect.ts")).inspect(local, container),
    inspectImage: async (reference) => (await import("./inspect.ts")).inspectImage(local, reference),
    configure: async (container, change) =>
      (await import("./configure.ts")).configure(local, container, change),
    run: async (container, request, options) =>
      (await import("./run.ts")).run(local, container, request, options),
    copy: async (container, request) => (await import("./copy.ts")).copy(local, container, request),
    commit: async (container, request) => (await import("./commit.ts")).commit(local, container, request),
    mount: async (container) => (await import("./mount.ts")).mount(local, container),
    mounted: async () => (await import("./mount.ts")).mounted(local),
    unmount: async (container) => (await import("./mount.ts")).unmount(local, container),
    rename: async (container, name) => (await import("./rename.ts")).rename(local, container, name),
    remove: async (container) => (await import("./remove.ts")).remove(local, container),
  };
}
