/**
 * Images of an engine that tells nothing of their files: they are exported as `docker save` does, and read here. All
 * of an image lies in the scratch directory meanwhile, for its config, which says how layers lie on each other, may
 * come last.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { NotFound } from "../../core/errors.ts";
import type { ImageDifference, LayerReport } from "../../core/objects.ts";
import { join } from "../../core/paths.ts";
import { imageDifferences, layerReports } from "../../images/analysis/index.ts";
import { readArchive } from "../../images/archives/archive.ts";
import { archiveImages } from "../../images/archives/source.ts";
import { openContent } from "../../images/content.ts";
import { type Image, isRunnable } from "../../images/image.ts";
import { detectHostPlatform, parsePlatform } from "../../images/platform.ts";
import type { Images } from "../engine.ts";

export interface ExportOptions {
  /** `os/arch[/variant]`; what the engine itself would run when absent. */
  platform?: string | undefined;
  /** An empty directory is made below it and removed. */
  scratch: string;
}

/** As `Images.layers`. @throws what exporting throws; InvalidParameter for an archive that is none. */
export async function exportedLayers(
  images: Pick<Images, "save">,
  reference: string,
  options: ExportOptions,
): Promise<LayerReport[]> {
  using exported = new Exported(images, options);
  return await layerReports(await exported.image(reference));
}

/** As `Images.diff`. */
export async function exportedDifferences(
  images: Pick<Images, "save">,
  from: string,
  to: string,
  options: ExportOptions,
): Promise<ImageDifference[]> {
  using exported = new Exported(images, options);
  const before = await exported.image(from);
  return await imageDifferences(before, await exported.image(to));
}

/** Images that were exported; gone when it is disposed of. */
class Exported implements Disposable {
  readonly #images: Pick<Images, "save">;
  readonly #platform: string | undefined;
  readonly #closing = new DisposableStack();
  readonly #session;

  constructor(images: Pick<Images, "save">, { platform, scratch }: ExportOptions) {
    this.#images = images;
    this.#platform = platform;
    mkdirSync(scratch, { recursive: true });
    const directory = mkdtempSync(join(scratch, "davit-export-"));
    this.#closing.defer(() => rmSync(directory, { recursive: true, force: true }));
    this.#session = this.#closing.use(openContent(directory).openSession());
  }

  [Symbol.dispose](): void {
    this.#closing[Symbol.dispose]();
  }

  async image(reference: string): Promise<Image> {
    const platforms = this.#platform === undefined ? [] : [this.#platform];
    const stop = new AbortController();
    const stream = this.#images.save([reference], { platforms });
    const archive = await readArchive(this.#session, stream, stop.signal);
    const choice = this.#platform === undefined ? detectHostPlatform() : parsePlatform(this.#platform);
    for await (const { image } of archiveImages(archive, [choice]).images()) {
      if (isRunnable(image)) return image;
    }
    throw new NotFound(`No such image: ${reference}`);
  }
}
