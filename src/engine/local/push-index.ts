/** What to put under a tag that leads to an index of which perhaps not all is here. */
import { isAttestation } from "../../images/attestations.ts";
import { type Document, indexDocument, type NamedImage } from "../../images/image.ts";
import type { Index } from "../../images/manifest.ts";

export type PushedIndex =
  | { readonly kind: "index"; readonly document: Document<Index> }
  /** One platform in place of the index. */
  | { readonly kind: "single"; readonly image: NamedImage; readonly note: string };

const note =
  "Not all multiplatform-content is present and only the available single-platform image was pushed";

/**
 * The index byte for byte where all of its manifests are here; where some are missing, one that lists those that are
 * here; with a single one, that image alone. Undefined for a name that leads to no index.
 */
export function indexToPush(images: readonly NamedImage[]): PushedIndex | undefined {
  const [first] = images;
  const path = first?.index?.path;
  if (first === undefined || path === undefined) return undefined;
  const [document] = path;
  // Also those that an index inside the index lists.
  const manifests = images.flatMap(({ index }) => (index === undefined ? [] : [index.descriptor]));
  const here = new Set(manifests.map(({ digest }) => digest));
  if (document.value.manifests.every(({ digest }) => here.has(digest))) return { kind: "index", document };
  const [only, second] = images.filter((image) => !isAttestation(image));
  if (only !== undefined && second === undefined) return { kind: "single", image: only, note };
  const value: Index = { ...document.value, manifests };
  return { kind: "index", document: indexDocument(Buffer.from(JSON.stringify(value))) };
}
