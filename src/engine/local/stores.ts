/** Which engines work in this very process, and on what: a copy between places then packs nothing in between. */
import type { ImageStores } from "../../images/collect.ts";
import type { Engine, Images } from "../engine.ts";

/** By what stays the same where an engine is given on with another `close`. */
const known = new WeakMap<Images, ImageStores>();

/** @returns the engine */
export function withStores(engine: Engine, stores: ImageStores): Engine {
  known.set(engine.images, stores);
  return engine;
}

/** The stores of a LocalEngine; undefined for an engine that is elsewhere. */
export function storesOf({ images }: Engine): ImageStores | undefined {
  return known.get(images);
}
