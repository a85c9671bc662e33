/** An image whose layers stay while they are read. */

import type { Root, RootLayer } from "../../build/steps/root.ts";
import { NotFound } from "../../core/errors.ts";
import { lease } from "../../images/leases.ts";
import { chainIdsOf, parseConfig, parseManifest } from "../../images/manifest.ts";
import { imageFor } from "../../images/variants.ts";
import { lock } from "../../state/locks.ts";
import type { Local } from "../local/local.ts";

export interface HeldImage extends Disposable {
  readonly root: Root;
}

/** @throws NotFound */
export async function holdImage(local: Local, reference: string, signal: AbortSignal): Promise<HeldImage> {
  using _images = await lock(local.instance, "images", { mode: "shared", signal });
  const session = local.content.openSession();
  try {
    const { record, manifest } = imageFor(local, reference, undefined);
    for (const chainId of record.chainIds) lease(session, chainId);
    const diffIds = parseConfig(local.content.read(record.id)).rootfs.diff_ids;
    const descriptors = parseManifest(local.content.read(manifest)).layers;
    const layers = chainIdsOf(diffIds).map((chainId, position): RootLayer => {
      const [diffId, descriptor] = [diffIds[position], descriptors[position]];
      if (diffId === undefined || descriptor === undefined)
        throw new NotFound(`${reference}: no layer ${position}`);
      return { kind: "image", chainId, diffId, descriptor };
    });
    return { root: { key: "", fileTime: 0n, layers }, [Symbol.dispose]: () => session[Symbol.dispose]() };
  } catch (error) {
    session[Symbol.dispose]();
    throw error;
  }
}
