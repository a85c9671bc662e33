/** What a container needs to know of its image. On the path of `run`: one query and one small file. */
import type { ChainId, ImageId } from "../core/ids.ts";
import type { State } from "../state/state.ts";
import type { ContentStore } from "./content.ts";
import { type ImageConfig, parseConfig } from "./manifest.ts";
import { familiarTags, findImage } from "./records.ts";

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
  /** Names in familiar form: `busybox:latest`. */
  readonly tags: readonly string[];
}

/**
 * @param reference name, digest reference, id or an unambiguous prefix of one.
 * @throws InvalidParameter `invalid reference format`; NotFound `No such image: x:latest`.
 */
export function resolveImage(state: State, content: ContentStore, reference: string): ResolvedImage {
  const record = findImage(state, reference);
  const config = parseConfig(content.read(record.id));
  return {
    id: record.id,
    config,
    chainIds: record.chainIds,
    topChainId: record.chainIds.at(-1),
    architecture: config.architecture,
    os: config.os || "linux",
    tags: familiarTags(record),
  };
}
