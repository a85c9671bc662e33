/** `image inspect`: all that is known of one image. */
import type { ImageInspect } from "../core/objects.ts";
import type { ImageStores } from "./collect.ts";
import { parseConfig } from "./manifest.ts";
import { familiarTags, findImage } from "./records.ts";
import { familiarOfCanonical } from "./references.ts";

const never = "0001-01-01T00:00:00Z";

/** @throws NotFound */
export async function inspectImage(stores: ImageStores, reference: string): Promise<ImageInspect> {
  const { state, content, snapshots } = stores;
  const record = findImage(state, reference);
  const config = parseConfig(content.read(record.id));
  const top = record.chainIds.at(-1);
  return {
    Id: record.id,
    RepoTags: familiarTags(record),
    RepoDigests: record.repoDigests.map(familiarOfCanonical),
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
  };
}
