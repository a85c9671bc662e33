/** What becomes of built images: archives and layouts are written, and the store gets them in the form it is to keep. */
import {
  type Attest,
  type BuildImage,
  type Composed,
  compose,
  namedMembers,
} from "../../build/output/image-index.ts";
import type { WrittenLayer } from "../../build/output/layers.ts";
import type { BuildRooms } from "../../build/rooms.ts";
import type { Vertex } from "../../build/solver/progress.ts";
import type { IngestSession } from "../../images/content.ts";
import { copy, type Image } from "../../images/image.ts";
import type { Reference } from "../../images/references.ts";
import { defaultForm } from "../../images/transfer/layer-form.ts";
import type { BuildOutput, ImageForm } from "../build.ts";

export type PushOutput = Extract<BuildOutput, { kind: "push" }>;
export type StoredOutput = Extract<BuildOutput, { kind: "store" | "push" }>;
export type SentOutput = Extract<BuildOutput, { kind: "archive" | "layout" }>;

export interface OutputContext {
  readonly rooms: BuildRooms;
  readonly session: IngestSession;
  readonly names: readonly Reference[];
  /** Of the export. */
  readonly vertex: Vertex;
  /** What is attested of the images, whatever form they get. */
  readonly attest: Attest;
  /** There will be an index. */
  readonly isIndexed: boolean;
  readonly signal: AbortSignal;
}

/** True for what puts the image into the local store. */
export function isStored(output: BuildOutput): output is StoredOutput {
  return output.kind === "store" || (output.kind === "push" && !isOnlyPushed(output));
}

/** True for what needs nothing here. */
export function isOnlyPushed(output: BuildOutput): boolean {
  return output.kind === "push" && output.isOnlyPushed === true;
}

/** Writes the images out as an archive, or into a directory. @returns them as they went out */
export async function sendImages(
  images: readonly BuildImage[],
  output: SentOutput,
  context: OutputContext,
): Promise<Composed> {
  const { names, vertex, signal } = context;
  const composed = await composedAs(images, output.form, context);
  const named = await namedMembers(composed, names);
  if (output.kind === "archive") {
    const { archiveBytes } = await import("../../images/archives/archive-writer.ts");
    const sending = vertex.status("sending tarball");
    const archive = archiveBytes(named, { docker: output.format === "docker", signal });
    for await (const chunk of archive) await output.write(chunk);
    sending();
    return composed;
  }
  const { layoutSink } = await import("../../images/transports/layout-sink.ts");
  const sending = vertex.status("copying files");
  const [first] = names;
  const options = { signal, ...(first === undefined ? {} : { tag: first.tag ?? "latest" }) };
  const values = async function* () {
    yield* named;
  };
  await copy({ images: values }, layoutSink(output.directory, options));
  sending();
  return composed;
}

/** The images in a form, under the index that they have in it. */
export async function composedAs(
  images: readonly BuildImage[],
  form: ImageForm | undefined,
  context: Pick<OutputContext, "rooms" | "session" | "vertex" | "attest" | "signal">,
): Promise<Composed> {
  const formed: BuildImage[] = [];
  for (const { image, ...others } of images) {
    formed.push({ ...others, image: await formedAs(image, form, context) });
  }
  return compose(formed, context.attest);
}

/**
 * The images as the store is to keep them. The first output that says something of their form is obeyed. Otherwise one
 * image stays plain, as steps made it; images under an index are compressed as they will travel, for the index and what
 * is attested stand for these very bytes.
 */
export async function formedForStore(
  images: readonly BuildImage[],
  outputs: readonly StoredOutput[],
  context: OutputContext,
): Promise<Composed & { takesManifest?: boolean }> {
  const asked = outputs.find((output) => output.form !== undefined)?.form;
  const form = asked ?? (context.isIndexed && outputs.length > 0 ? { layers: defaultForm } : undefined);
  const composed = await composedAs(images, form, context);
  if (form === undefined) return composed;
  const kept = composed.images.map(({ image, layers, platform }) => ({
    image,
    platform,
    layers: layers.map((written, at): WrittenLayer => {
      const layer = image.layers[at] ?? written.layer;
      return { ...written, layer, blob: layer.ingested ?? written.blob };
    }),
  }));
  return { ...composed, images: kept, takesManifest: true };
}

async function formedAs(
  image: Image,
  form: ImageForm | undefined,
  { rooms, session, vertex, signal }: Pick<OutputContext, "rooms" | "session" | "vertex" | "signal">,
): Promise<Image> {
  if (form === undefined) return image;
  const { imageInForm } = await import("../../build/output/forms.ts");
  const done = form.layers === undefined ? undefined : vertex.status("compressing layers");
  const formed = await imageInForm(image, form, { state: rooms.state, session, signal });
  done?.();
  return formed;
}
