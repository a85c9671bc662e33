/** The Images of a LocalEngine: the use cases of src/images on this instance's stores. */
import type { ContentStore } from "../../images/content.ts";
import { imageHistory } from "../../images/history.ts";
import { importImage } from "../../images/import.ts";
import { inspectImage } from "../../images/inspect.ts";
import { listImages } from "../../images/list.ts";
import { loadImages } from "../../images/load.ts";
import { removeImage } from "../../images/remove.ts";
import { saveImages } from "../../images/save.ts";
import { tagImage } from "../../images/tag.ts";
import type { State } from "../../state/state.ts";
import type { Snapshotter } from "../../storage/snapshotter.ts";
import type { Images } from "../engine.ts";

export function localImages(stores: { state: State; content: ContentStore; snapshots: Snapshotter }): Images {
  return {
    list: (options) => listImages(stores, options),
    inspect: (reference) => inspectImage(stores, reference),
    history: async (reference) => imageHistory(stores, reference),
    tag: async (source, target) => tagImage(stores, source, target),
    remove: (reference, options) => removeImage(stores, reference, options),
    load: (archive, options) => loadImages(stores, archive, options),
    save: (references) => saveImages(stores.state, stores.content, references),
    import: (archive, request) => importImage(stores, archive, request),
  };
}
