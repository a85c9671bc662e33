/** A built image in the form that an output asks for: its layers' compression, and the words of its manifest. */

import type { IngestSession } from "../../images/content.ts";
import type { Image } from "../../images/image.ts";
import type { LayerForm } from "../../images/transfer/layer-form.ts";
import { Outgoing } from "../../images/transfer/outgoing.ts";
import { inFormat, type ManifestFormat } from "../../images/transports/convert.ts";
import { processorCount } from "../../linux/machine.ts";
import type { State } from "../../state/state.ts";

export interface ImageForm {
  /** Absent: layers stay as they are. */
  readonly layers?: LayerForm;
  /** Absent: as they are, which is OCI's. */
  readonly mediaTypes?: ManifestFormat;
}

/** Nothing else is to be done while layers are compressed; each thread costs some 30 MB. */
const mostThreads = 4;

/** @throws InvalidParameter for what the format has no words for; LinuxError ENOSPC */
export async function imageInForm(
  image: Image,
  form: ImageForm,
  { state, session, signal }: { state: State; session: IngestSession; signal: AbortSignal },
): Promise<Image> {
  let made = image;
  if (form.layers !== undefined) {
    using outgoing = new Outgoing(state, session, {
      compressing: () => {},
      isAnew: true,
      form: form.layers,
      threads: Math.min(processorCount(), mostThreads),
      signal,
    });
    made = await outgoing.make(image);
  }
  if (form.mediaTypes === undefined) return made;
  const [converted] = await inFormat([{ image: made, names: [], parent: undefined }], form.mediaTypes);
  return converted?.image ?? made;
}
