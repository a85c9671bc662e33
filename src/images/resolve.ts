/** What a container needs to know of its image. On the path of `run`: a query or two and one small file. */
import type { ChainId, ImageId } from "../core/ids.ts";
import type { State } from "../state/state.ts";
import type { ContentStore } from "./content.ts";
import { type ImageConfig, type Platform, parseConfig } from "./manifest.ts";
import { familiarTags } from "./records.ts";
import { checkPlatform, chooseImage, platformOfConfig } from "./variants.ts";

export interface ResolvedImage {
  readonly id: ImageId;
  /** `config.config` is the ContainerConfig that a container starts out with. */
  readonly config: ImageConfig;
  /** Committed snapshots, bottom first. */
  readonly chainIds: readonly ChainId[];
  /** What a container's snapshot is prepared on; undefined for an image without layers. */
  readonly topChainId: ChainId | undefined;
  readonly architecture: string;
  readonly os: string;
  /** What it is for; `platformWarning` (variants.ts) has the words for one that is not this machine's. */
  readonly platform: Platform;
  /** Names in familiar form: `busybox:latest`. */
  readonly tags: readonly string[];
}

/**
 * @param reference name, digest reference, id or an unambiguous prefix of one.
 * @param platform what is wanted of a name with several; absent: this machine's, else what it was last pulled as.
 * @throws InvalidParameter `invalid reference format`; NotFound `No such image: x:latest`, also where what is here is
 *   for another platform.
 */
export function resolveImage(
  state: State,
  content: ContentStore,
  reference: string,
  platform?: Platform,
): ResolvedImage {
  const { record, variant } = chooseImage(state, reference, platform);
  const config = parseConfig(content.read(record.id));
  const own = variant?.platform ?? platformOfConfig(config);
  checkPlatform(reference, own, platform);
  return {
    id: record.id,
    config,
    chainIds: record.chainIds,
    topChainId: record.chainIds.at(-1),
    architecture: config.architecture,
    os: config.os || "linux",
    platform: own,
    tags: familiarTags(record),
  };
}
