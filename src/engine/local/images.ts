/** The Images of a LocalEngine: the use cases of src/images on this instance's stores. */
import type { Images } from "../engine.ts";
import type { Local } from "./local.ts";

export function localImages(local: Local): Images {
  return {
    // Each is loaded when it is called: most commands call none, and archives bring compression along.
    list: async (options) => (await import("../../images/list.ts")).listImages(local, options),
    inspect: async (reference, options) =>
      (await import("../../images/inspect.ts")).inspectImage(local, reference, options),
    history: async (reference, options) =>
      (await import("../../images/history.ts")).imageHistory(local, reference, options),
    tag: async (source, target) => (await import("../../images/tag.ts")).tagImage(local, source, target),
    async remove(reference, { platforms = [], ...options } = {}) {
      if (platforms.length === 0) {
        return (await import("../../images/remove.ts")).removeImage(local, reference, options);
      }
      const { removePlatforms } = await import("../../images/remove-platforms.ts");
      return await removePlatforms(local, reference, platforms, options);
    },
    prune: async (filters) => (await import("../../images/prune.ts")).pruneImages(local, filters),
    async *pull(reference, options) {
      yield* (await import("./pull-again.ts")).pull(local, reference, options);
    },
    async *push(reference, options) {
      yield* (await import("./push.ts")).push(local, reference, options);
    },
    search: async (term, options) => (await import("./registries.ts")).search(local, term, options),
    async *load(archive, options) {
      yield* (await import("../../images/load.ts")).loadImages(local, archive, options);
    },
    async *save(references, options) {
      yield* (await import("../../images/save.ts")).saveImages(local, references, options);
    },
    async *import(archive, request) {
      yield* (await import("../../images/import.ts")).importImage(local, archive, request);
    },
    layers: async (reference, options) => (await import("./analysis.ts")).layersOf(local, reference, options),
    diff: async (from, to, options) => (await import("./analysis.ts")).differences(local, from, to, options),
  };
}
