/**
 * An OCI image layout in a directory as a source of images. OCI image-spec, image-layout.md.
 * The directory may come from anywhere: the kernel keeps every name inside it.
 */
import { InvalidParameter, NotFound } from "../../core/errors.ts";
import { closeFile, openDirectory } from "../../linux/paths.ts";
import type { ImageSource } from "../image.ts";
import { parseJson } from "../json.ts";
import { type Descriptor, type Index, parseIndex } from "../manifest.ts";
import { blobName } from "../oci-layout.ts";
import { directoryPlace, readDocument } from "./directory-place.ts";
import { tagOfDescriptor } from "./layout-names.ts";
import { imagesAt, type Place, type PlatformChoice } from "./place.ts";

export interface LayoutSourceOptions {
  /** Which entry of index.json, by its `org.opencontainers.image.ref.name`; the only one when absent. */
  tag?: string;
  choice: PlatformChoice;
}

/** The images have no names: an entry's tag is none. @throws NotFound, InvalidParameter */
export function layoutSource(directory: string, { tag, choice }: LayoutSourceOptions): LayoutSource {
  const root = openDirectory(directory);
  return {
    async *images() {
      checkVersion(readDocument(root, "oci-layout"), directory);
      const index = parseIndex(readDocument(root, "index.json"), `${directory}/index.json`);
      for await (const found of imagesAt(
        directoryPlace(root, ({ digest }) => blobName(digest)),
        chooseEntry(index, tag, directory),
        choice,
      )) {
        yield { ...found, names: [], parent: undefined };
      }
    },
    [Symbol.dispose]: () => closeFile(root),
  };
}

/** A layout's entry and all that it leads to, to be read until it is disposed of. */
export interface OpenLayout extends Disposable {
  readonly place: Place;
  readonly entry: Descriptor;
}

/** @throws NotFound, InvalidParameter, LinuxError */
export function openLayout(directory: string, wanted: { tag: string } | { digest: string }): OpenLayout {
  const root = openDirectory(directory);
  try {
    checkVersion(readDocument(root, "oci-layout"), directory);
    const index = parseIndex(readDocument(root, "index.json"), `${directory}/index.json`);
    const entry =
      "tag" in wanted
        ? chooseEntry(index, wanted.tag, directory)
        : index.manifests.find(({ digest }) => digest === wanted.digest);
    if (entry === undefined) throw new NotFound(`${directory} holds nothing with the given digest`);
    return {
      place: directoryPlace(root, ({ digest }) => blobName(digest)),
      entry,
      [Symbol.dispose]: () => closeFile(root),
    };
  } catch (error) {
    closeFile(root);
    throw error;
  }
}

/** Its images' layers can be opened until it is disposed of. */
export interface LayoutSource extends ImageSource, Disposable {}

/** @throws InvalidParameter for several entries without a choice; NotFound. */
export function chooseEntry(index: Index, tag: string | undefined, where: string): Descriptor {
  const entries =
    tag === undefined ? index.manifests : index.manifests.filter((entry) => tagOfDescriptor(entry) === tag);
  const [first] = entries;
  if (first === undefined) {
    throw new NotFound(
      tag === undefined
        ? `${where} holds no image`
        : `no descriptor found for reference "${tag}" in ${where}`,
    );
  }
  const digests = new Set(entries.map(({ digest }) => digest));
  if (digests.size > 1) {
    const tags = index.manifests.map((entry) => tagOfDescriptor(entry)).filter((name) => name !== undefined);
    throw new InvalidParameter(
      `more than one image in ${where}, choose one${tags.length === 0 ? "" : ` of ${tags.join(", ")}`}`,
    );
  }
  return first;
}

function checkVersion(bytes: Uint8Array, where: string): void {
  const version = parseJson(bytes, `${where}/oci-layout`).at("imageLayoutVersion").string();
  if (!version.startsWith("1."))
    throw new InvalidParameter(`${where}: image layout version ${version} is not read`);
}
