/**
 * `save`: images into one archive that Docker reads (manifest.json, repositories) and OCI tools too (oci-layout,
 * index.json). Blobs go out as they are stored, each once.
 */
import { InvalidParameter } from "../core/errors.ts";
import { appendEvent, ringBell } from "../state/events.ts";
import type { State } from "../state/state.ts";
import { archiveBytes } from "./archives/archive-writer.ts";
import { isAttestation } from "./attestations.ts";
import type { ContentStore } from "./content.ts";
import { imageEvent } from "./events.ts";
import { idOf } from "./image.ts";
import { parsePlatform } from "./platform.ts";
import { storedImages } from "./transports/stored-source.ts";

export interface SaveOptions {
  /** Of names with several platforms these, as `os/arch[/variant]`; all that are here when absent or empty. */
  platforms?: readonly string[];
}

/**
 * A name with a tag saves that tag; one without saves all tags of the repository; an id saves the image without
 * names. A name that leads to an index saves the index byte for byte. Nothing is written before all are found.
 * @throws NotFound, also where an image is not here for a platform; InvalidParameter for a malformed name or platform.
 */
export async function* saveImages(
  { state, content }: { state: State; content: ContentStore },
  references: readonly string[],
  options: SaveOptions = {},
): AsyncGenerator<Uint8Array> {
  if (references.length === 0) throw new InvalidParameter("no image reference provided");
  const platforms = (options.platforms ?? []).map(parsePlatform);
  // A removal meanwhile must not take the blobs away: the session holds on to each.
  using session = content.openSession();
  const images = storedImages(
    { state, content },
    references,
    platforms.length === 0 ? "all" : platforms,
    session,
  );
  yield* archiveBytes(images, { docker: true });
  for (const { image, index } of images) {
    if (index !== undefined && isAttestation({ index })) continue;
    appendEvent(state, imageEvent("save", idOf(image), image.config.value.config));
  }
  ringBell(state.instance);
}
