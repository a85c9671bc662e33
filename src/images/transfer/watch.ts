/** What is told of each layer on its way into the local store. */
import type { ChainId } from "../../core/ids.ts";
import type { Layer } from "../image.ts";
import type { Descriptor } from "../manifest.ts";

export interface ComingLayer {
  readonly layer: Layer;
  /** From the bottom, 0 first. */
  readonly position: number;
  readonly chainId: ChainId;
  /** Known before the layer is fetched; undefined for one that is still being hashed. */
  readonly descriptor: Descriptor | undefined;
}

export type LayerEvent =
  /** All of it is here. The only event of this layer. */
  | { kind: "exists" }
  /** It is not all here. The first event of this layer. */
  | { kind: "queued" }
  /** Others go first. */
  | { kind: "waiting" }
  | { kind: "downloading"; current: number; total: number }
  | { kind: "verifying" }
  | { kind: "downloaded" }
  | { kind: "extracting"; current: number; total: number }
  /** Unpacked, checked and in its place. The last event. */
  | { kind: "complete" };

export type LayerWatch = (layer: ComingLayer, event: LayerEvent) => void;
