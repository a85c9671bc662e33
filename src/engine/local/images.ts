/** The Images of a LocalEngine: the use cases of src/images on this instance's stores. */
import type { ContentStore } from "../../images/content.ts";
import type { State } from "../../state/state.ts";
import type { Snapshotter } from "../../storage/snapshotter.ts";
import type { Images } from "../engine.ts";

export function localImages(stores: { state: State; content: ContentStore; snapshots: Snapshotter }): Images {
  return {
    // Each is loaded when it is called: most commands call none, and archives bring compression along.
    list: async (options) => (await import("../../images/list.ts")).listImages(stores, options),
    inspect: async (reference) => (await import("../../images/inspect.ts")).inspectImage(stores, reference),
    history: async (reference) => (await import("../../images/history.ts")).imageHistory(stores, reference),
    tag: async (source, target) => (await import("../../images/tag.ts")).tagImage(stores, source, target),
    remove: async (reference, options) =>
      (await import("../../images/remove.ts")).removeImage(stores, reference, options),
    async *load(archive, options) {
      const { loadImages } = await import("../../images/load.ts");
      yield* loadImages(stores, archive, options);
    },
    async *save(references) {
      const { saveImages } = await import("../../images/save.ts");
      yield* saveImages(stores.state, stores.content, references);
    },
    async *import(archive, request) {
      const { importImage } = await import("../../images/import.ts");
      yield* importImage(stores, archive, request);
    },
  };
}
