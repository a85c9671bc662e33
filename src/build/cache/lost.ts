/** What builds that were killed have left. */
import { Conflict } from "../../core/errors.ts";
import { isDigest } from "../../core/ids.ts";
import { uppermostFirst } from "../../images/layer-order.ts";
import { removeLostDirectories } from "../context/own-directory.ts";
import type { BuildRooms } from "../rooms.ts";
import { oldestWork } from "./in-flight.ts";
import { forgetResult, lostResults } from "./results.ts";

/** One query and one readdir when there is nothing. */
export async function removeLost(rooms: BuildRooms): Promise<void> {
  removeLostDirectories(rooms.instance.dataRoot);
  const { state, snapshots, bootId } = rooms;
  const lost = lostResults(state, bootId, oldestWork(rooms));
  if (lost.length === 0) return;
  const idOf = new Map(lost.map(({ id, snapshot }) => [snapshot, id]));
  for (const snapshot of await uppermostFirst(snapshots, [...idOf.keys()])) {
    try {
      // A layer of an image is the image's.
      if (!isDigest(snapshot)) await snapshots.remove(snapshot);
    } catch (error) {
      // Something stands on it: it goes when that goes.
      if (error instanceof Conflict) continue;
      throw error;
    }
    forgetResult(state, idOf.get(snapshot) ?? "");
  }
}
