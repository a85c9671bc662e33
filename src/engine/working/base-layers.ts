/** The layers below a working container, as its commits need them. */
import { NotFound } from "../../core/errors.ts";
import type { IngestSession } from "../../images/content.ts";
import type { Layer } from "../../images/image.ts";
import { lease } from "../../images/leases.ts";
import { type HistoryEntry, parseConfig } from "../../images/manifest.ts";
import { imageById } from "../../images/records.ts";
import { storedImage } from "../../images/transports/stored-image.ts";
import { lock } from "../../state/locks.ts";
import type { WorkingRecord } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";

export interface BaseLayers {
  readonly layers: readonly Layer[];
  readonly history: readonly HistoryEntry[];
}

/** Held by the session. @throws NotFound when the image was removed, though the container stands on it */
export async function baseLayers(
  local: Local,
  session: IngestSession,
  { image }: Pick<WorkingRecord, "image">,
  isSquashed: boolean,
): Promise<BaseLayers> {
  if (image === undefined || isSquashed) return { layers: [], history: [] };
  using _images = await lock(local.instance, "images", { mode: "shared" });
  const record = imageById(local.state, image.id);
  if (record === undefined) {
    throw new NotFound(
      `its base image ${image.name} was removed: commit it with --squash, which needs no base`,
    );
  }
  for (const chainId of record.chainIds) lease(session, chainId);
  const manifest = local.content.has(image.manifest) ? image.manifest : record.manifest;
  const stored = storedImage(local, record, manifest);
  const { history } = parseConfig(local.content.read(record.id));
  const layers: Layer[] = [];
  for (const layer of stored.layers) {
    const { digest } = await layer.descriptor();
    const blob = session.hold(digest);
    if (blob === undefined) throw new NotFound(`content digest ${digest}: not found`);
    layers.push({ ...layer, open: () => ({ path: blob.path }), ingested: blob });
  }
  return { layers, history };
}
