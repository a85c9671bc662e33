/** Results of steps, in the cache here and in those elsewhere. */
import { isDigest } from "../../core/ids.ts";
import type { IngestSession } from "../../images/content.ts";
import { lease } from "../../images/leases.ts";
import { lock } from "../../state/locks.ts";
import type { RemoteCaches } from "../cache/remote/import.ts";
import { forgetResult, type ResultRecord, standsOn, useResult } from "../cache/results.ts";
import type { BuildRooms } from "../rooms.ts";
import { snapshotOf } from "../steps/layer.ts";
import type { Root } from "../steps/root.ts";

export interface LookupContext {
  readonly session: IngestSession;
  readonly elsewhere: Pick<RemoteCaches, "find"> | undefined;
  readonly signal: AbortSignal;
}

/** The result that has this key, or this other key, of a step on this input. */
export async function findResult(
  rooms: BuildRooms,
  key: string,
  input: Root,
  context: LookupContext,
): Promise<Root | undefined> {
  const { state, bootId, snapshots } = rooms;
  const record = useResult(state, key, bootId);
  if (record === undefined || !isMadeOn(rooms, record, input)) return context.elsewhere?.find(key, input);
  if (!(await hold(rooms, record.snapshot, context)) || !(await snapshots.has(record.snapshot))) {
    forgetResult(state, record.id);
    return undefined;
  }
  return {
    key: record.key,
    fileTime: record.fileTime,
    layers: [...input.layers, { kind: "result", id: record.id }],
  };
}

/** A result goes with what it was made on: its input may have been made anew since, and have other files. */
function isMadeOn(rooms: BuildRooms, { id }: ResultRecord, input: Root): boolean {
  const top = input.layers.at(-1);
  if (top?.kind === "away" && top.layer.resultId === undefined) return false;
  const isSame = () => standsOn(rooms.state, id, snapshotOf(rooms, input));
  // Between the two looks that it takes another build may give one of them another name.
  return isSame() || isSame();
}

/** A snapshot that has become an image's layer is leased, so that it stays when the image goes. */
async function hold(
  { instance, snapshots }: BuildRooms,
  snapshot: string,
  { session, signal }: LookupContext,
): Promise<boolean> {
  if (!isDigest(snapshot)) return true;
  using _lock = await lock(instance, "images", { mode: "shared", signal });
  lease(session, snapshot);
  return snapshots.has(snapshot);
}
