/**
 * Statements about an image as a manifest beside its own, as BuildKit 0.34 writes it: an OCI artifact whose subject is
 * the image's manifest, with a layer for each in-toto statement. (Its docs/attestations/attestation-storage.md shows an
 * older form, with an image's config that says nothing; both are found by the same annotations.)
 */
import type { DiffId } from "../../core/ids.ts";
import { attestationAnnotations, attestationPlatform, attestationType } from "../../images/attestations.ts";
import type { IngestSession } from "../../images/content.ts";
import { type Layer, manifestDocument } from "../../images/image.ts";
import { type Descriptor, digestOf, mediaTypes, type Platform } from "../../images/manifest.ts";
import type { Reference } from "../../images/references.ts";
import { readConfig } from "../../images/transports/place.ts";
import type { Attestation, BuildImage } from "../output/image-index.ts";
import { imageUrl } from "./package-url.ts";
import type { Predicate } from "./request.ts";
import { type Subject, statement } from "./statement.ts";

const statementMediaType = "application/vnd.in-toto+json";
const predicateAnnotation = "in-toto.io/predicate-type";
/** BuildKit's for images without a name. */
const nameless = "_";
const artifactType = "application/vnd.docker.attestation.manifest.v1+json";

/** OCI image-spec, manifest.md, "Guidance for an Empty Descriptor". */
const emptyObject = Buffer.from("{}");
const emptyConfig = {
  mediaType: "application/vnd.oci.empty.v1+json",
  digest: digestOf(emptyObject),
  size: emptyObject.byteLength,
  data: emptyObject.toString("base64"),
};

/** @param predicates at least one */
export async function attestationManifest(
  { image, platform }: BuildImage,
  predicates: readonly Predicate[],
  { names, session }: { readonly names: readonly Reference[]; readonly session: IngestSession },
): Promise<Attestation> {
  const subject = await image.manifest();
  const subjects = subjectsOf(names, platform, subject.digest);
  const statements = predicates.map((predicate) => ({
    predicateType: predicate.predicateType,
    bytes: Buffer.from(JSON.stringify(statement(predicate, subjects))),
  }));
  const layers = statements.map(({ predicateType, bytes }): { layer: Layer; descriptor: Descriptor } => {
    const digest = digestOf(bytes);
    const descriptor: Descriptor = {
      mediaType: statementMediaType,
      digest,
      size: bytes.byteLength,
      annotations: { [predicateAnnotation]: predicateType },
    };
    const blob = session.add(bytes);
    return {
      descriptor,
      layer: {
        diffId: digest as DiffId,
        descriptor: async () => descriptor,
        open: () => ({ path: blob.path }),
        ingested: blob,
      },
    };
  });
  const subjectDescriptor = {
    mediaType: subject.value.mediaType,
    digest: subject.digest,
    size: subject.bytes.byteLength,
  };
  const manifest = manifestDocument(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        artifactType,
        config: emptyConfig,
        layers: layers.map(({ descriptor }) => descriptor),
        subject: subjectDescriptor,
      }),
    ),
  );
  const { document: config } = readConfig(manifest.value, emptyObject);
  return {
    image: {
      isArtifact: true,
      config,
      layers: layers.map(({ layer }) => layer),
      manifest: async () => manifest,
    },
    descriptor: {
      mediaType: mediaTypes.manifest,
      digest: manifest.digest,
      size: manifest.bytes.byteLength,
      annotations: {
        [attestationAnnotations.digest]: subject.digest,
        [attestationAnnotations.type]: attestationType,
      },
      platform: { ...attestationPlatform },
    },
  };
}

function subjectsOf(names: readonly Reference[], platform: Platform, manifest: string): Subject[] {
  const digest = { sha256: manifest.slice("sha256:".length) };
  if (names.length === 0) return [{ name: nameless, digest }];
  return names.map((name) => ({ name: imageUrl(name, platform), digest }));
}
