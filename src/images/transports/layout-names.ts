/** How the index.json of an OCI layout names what it lists. */
import type { Descriptor } from "../manifest.ts";
import { parseReference, type Reference, tryParseReference, withDefaultTag } from "../references.ts";

const containerdName = "io.containerd.image.name";
const referenceName = "org.opencontainers.image.ref.name";

/** Names an entry for containerd and for tools that go by the specification alone. */
export function nameAnnotations(canonical: string): Record<string, string> {
  return { [containerdName]: canonical, [referenceName]: parseReference(canonical).tag ?? "latest" };
}

/**
 * The image name that an entry carries. containerd's annotation holds a full name. The specification's own may be a
 * full name or a mere tag, and a tag alone names nothing.
 */
export function nameOfDescriptor({ annotations = {} }: Descriptor): Reference | undefined {
  const text = annotations[containerdName] ?? annotations[referenceName];
  if (text === undefined || !/[/:]/.test(text)) return undefined;
  const name = tryParseReference(text);
  return name === undefined || name.digest !== undefined ? undefined : withDefaultTag(name);
}

/** What `oci:directory:<tag>` goes by. */
export function tagOfDescriptor({ annotations = {} }: Descriptor): string | undefined {
  return annotations[referenceName];
}

/** Names an entry by a tag, as skopeo and podman do. */
export function tagAnnotation(tag: string): Record<string, string> {
  return { [referenceName]: tag };
}
