/** A sink that writes all at once: values are cheap to keep, for their layers are not opened before they are written. */
import type { ImageSink, NamedImage } from "../image.ts";

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
