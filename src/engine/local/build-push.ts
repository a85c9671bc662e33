/** Built images straight into a registry: the local store does not get to see them. */
import type { ImageForm } from "../../build/output/forms.ts";
import { type BuildImage, namedMembers } from "../../build/output/image-index.ts";
import { InvalidParameter } from "../../core/errors.ts";
import type { Reference } from "../../images/references.ts";
import { defaultForm } from "../../images/transfer/layer-form.ts";
import { registrySink } from "../../registry/sink.ts";
import type { CredentialSource } from "../engine.ts";
import { composedAs, type OutputContext } from "./build-outputs.ts";
import type { Local } from "./local.ts";

export interface PushOnlyOptions {
  readonly name: Reference;
  readonly output: { readonly form?: ImageForm };
  readonly credentials: CredentialSource | undefined;
  readonly context: OutputContext;
}

/** @throws Unauthorized, Unavailable in Docker's words */
export async function pushOnly(
  local: Local,
  images: readonly BuildImage[],
  { name, output, credentials, context }: PushOnlyOptions,
): Promise<void> {
  const { signal } = context;
  const composed = await composedAs(images, { layers: defaultForm, ...output.form }, context);
  const repository = local.registries.repository(name, await credentials?.(name.domain));
  const sink = registrySink(repository, { signal });
  const { index } = composed;
  for (const named of await namedMembers(composed, [name])) {
    // What the name leads to comes last, when all that it names is there.
    await sink.put(index === undefined ? named : { ...named, names: [] });
  }
  const [pushed] = await sink.commit();
  if (pushed === undefined) throw new InvalidParameter("nothing was pushed");
  if (index === undefined) return;
  const { bytes, value } = index;
  await repository.putManifest(name.tag ?? "latest", { bytes, mediaType: value.mediaType }, signal);
}
