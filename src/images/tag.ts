/** `tag`: one more name for an image, or for all platforms that its name leads to. */
import { Conflict } from "../core/errors.ts";
import { appendEvent, ringBell } from "../state/events.ts";
import type { ImageStores } from "./collect.ts";
import { imageEvent } from "./events.ts";
import { indexText } from "./index-file.ts";
import { recordIndex } from "./index-records.ts";
import { parseConfig } from "./manifest.ts";
import { findImage, setTag } from "./records.ts";
import { canonicalForm, familiarForm, parseReference, withDefaultTag } from "./references.ts";
import { namedVariants } from "./variants.ts";

/** @throws NotFound; InvalidParameter for a malformed target; Conflict for a target with a digest. */
export function tagImage({ state, content }: ImageStores, source: string, target: string): void {
  const name = withDefaultTag(parseReference(target));
  if (name.digest !== undefined) throw new Conflict("refusing to create a tag with a digest reference");
  state.transaction(() => {
    const { id } = findImage(state, source);
    const variants = namedVariants(state, source);
    setTag(state, canonicalForm(name), id, Date.now());
    if (variants !== undefined) {
      recordIndex(state, canonicalForm(name), { digest: variants.index, images: variants.images });
    }
    const { config } = parseConfig(content.read(id));
    appendEvent(state, imageEvent("tag", id, config, familiarForm(name)));
    content.writeIndex(indexText(state, content));
  });
  ringBell(state.instance);
}
