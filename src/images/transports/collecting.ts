/** A sink that writes all at once: values are cheap to keep, for their layers are not opened before they are written. */
import type { ImageSink, NamedImage } from "../image.ts";

/** @param write is given all images, once, when the last has come */
export function collectingSink<Result>(
  write: (images: readonly NamedImage[]) => Promise<Result>,
): ImageSink<Result> {
  const images: NamedImage[] = [];
  return {
    put: async (image) => {
      images.push(image);
    },
    commit: () => write(images),
  };
}
