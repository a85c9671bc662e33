/** The images of an archive, of whichever kind it is. */
import { InvalidParameter } from "../../core/errors.ts";
import type { ImageSource } from "../image.ts";
import { isIndexType } from "../manifest.ts";
import type { PlatformChoice } from "../transports/place.ts";
import type { Archive } from "./archive.ts";
import { dockerArchive } from "./docker-archive.ts";
import { legacyArchive } from "./legacy-archive.ts";
import { ociArchive, rootsOf } from "./oci-archive.ts";

/**
 * An archive that is both Docker's and an OCI layout is taken as Docker's, whose names and parents are the better
 * ones, unless it holds several platforms of an image, which only an index can say.
 * @param choice which platforms of an index. Attestations are among all of them: see `storable`.
 * @throws InvalidParameter for an archive that holds no image.
 */
export function archiveImages(archive: Archive, choice: PlatformChoice): ImageSource {
  const isLayout = archive.find("index.json") !== undefined;
  if (archive.find("manifest.json") !== undefined && !(isLayout && hasIndex(archive))) {
    return dockerArchive(archive);
  }
  if (isLayout) return ociArchive(archive, choice);
  if (archive.find("repositories") !== undefined) return legacyArchive(archive);
  throw new InvalidParameter(
    "invalid archive: it has neither manifest.json nor index.json nor repositories, so it holds no image",
  );
}

function hasIndex(archive: Archive): boolean {
  return rootsOf(archive).some(({ descriptor }) => isIndexType(descriptor.mediaType));
}
