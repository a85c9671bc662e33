/** `image inspect`: all that is known of one image. */
import { InvalidParameter } from "../core/errors.ts";
import type { ImageInspect } from "../core/objects.ts";
import type { ImageStores } from "./collect.ts";
import { parseConfig } from "./manifest.ts";
import { manifestSummaries, usersOf } from "./manifest-summaries.ts";
import { parsePlatform } from "./platform.ts";
import type { ImageRecord } from "./records.ts";
import { familiarOfCanonical } from "./references.ts";
import { descriptorObject, storedDescriptor } from "./transports/stored-image.ts";
import { imageFor } from "./variants.ts";

const never = "0001-01-01T00:00:00Z";

export interface InspectOptions {
  /** Of a name with several platforms this one. */
  platform?: string;
  /** Fill Manifests: all that the name leads to. */
  manifests?: boolean;
}

/**
 * @throws InvalidParameter for both options at once; NotFound, also where the image is not here for the platform; InvalidParameter for a malformed platform.
 */
export async function inspectImage(
  stores: ImageStores,
  reference: string,
  options: InspectOptions = {},
): Promise<ImageInspect> {
  const { content, snapshots, state } = stores;
  if (options.platform && options.manifests === true) {
    throw new InvalidParameter("conflicting options: manifests and platform options cannot both be set");
  }
  const platform = options.platform ? parsePlatform(options.platform) : undefined;
  const { record, index } = imageFor(stores, reference, platform);
  const config = parseConfig(content.read(record.id));
  const top = record.chainIds.at(-1);
  const { tags, digests } = namesOf(record);
  return {
    Id: record.id,
    RepoTags: tags,
    RepoDigests: digests,
    Parent: record.parent ?? "",
    Comment: config.comment ?? config.history.at(-1)?.comment ?? "",
    Created: config.created ?? never,
    DockerVersion: config.docker_version ?? "",
    Author: config.author ?? "",
    Config: config.config,
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os || "linux",
    ...(config["os.version"] === undefined ? {} : { OsVersion: config["os.version"] }),
    Size: record.size,
    GraphDriver: {
      Name: snapshots.driver,
      Data: top === undefined ? null : await snapshots.describe(top),
    },
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Metadata: {
      LastTagTime: record.lastTagAt === undefined ? never : new Date(record.lastTagAt).toISOString(),
    },
    ...(index === undefined
      ? {}
      : { Descriptor: descriptorObject(storedDescriptor(content, index, "index")) }),
    ...(options.manifests === true
      ? { Manifests: manifestSummaries(stores, record, index, usersOf(state)) }
      : {}),
  };
}

/** A platform of an index goes by the index's names too. Familiar, sorted. */
function namesOf(record: ImageRecord): { tags: string[]; digests: string[] } {
  const all = [...new Set([...record.tags, ...record.repoDigests, ...record.variantOf])].sort();
  return {
    tags: all.filter((name) => !name.includes("@")).map(familiarOfCanonical),
    digests: all.filter((name) => name.includes("@")).map(familiarOfCanonical),
  };
}
