/** Results of steps, in the cache here and in those elsewhere. */
import { isDigest } from "../../core/ids.ts";
import type { IngestSession } from "../../images/content.ts";
import { lease } from "../../images/leases.ts";
import { lock } from "../../state/locks.ts";
import type { RemoteCaches } from "../cache/remote/import.ts";
import { forgetResult, type ResultRecord, resultById, standsOn, useResult } from "../cache/results.ts";
import type { BuildRooms } from "../rooms.ts";
import { snapshotOf } from "../steps/layer.ts";
import type { Root } from "../steps/root.ts";

export type LookupRooms = Pick<BuildRooms, "instance" | "state" | "snapshots" | "bootId">;

export interface LookupContext {
  readonly session: IngestSession;
  readonly elsewhere: Pick<RemoteCaches, "find"> | undefined;
  readonly signal: AbortSignal;
}

/** The result that has this key, or this other key, of a step on this input. */
export async function findResult(
  rooms: LookupRooms,
  key: string,
  input: Root,
  context: LookupContext,
): Promise<Root | undefined> {
  const { state, bootId } = rooms;
  const record = useResult(state, key, bootId);
  if (record === undefined || !isMadeOn(rooms, record, input)) return context.elsewhere?.find(key, input);
  if (!(await isHere(rooms, record, context))) {
    forgetResult(state, record.id);
    return undefined;
  }
  return {
    key: record.key,
    fileTime: record.fileTime,
    layers: [...input.layers, { kind: "result", id: record.id }],
  };
}

/** True when its snapshot is there, under whatever name: another build may give it its layer's at any moment. */
async function isHere(
  rooms: LookupRooms,
  { id, ...found }: ResultRecord,
  context: LookupContext,
): Promise<boolean> {
  let name: string | undefined = found.snapshot;
  while (name !== undefined) {
    if ((await hold(rooms, name, context)) && (await rooms.snapshots.has(name))) return true;
    const now = resultById(rooms.state, id)?.snapshot;
    if (now === name) return false;
    name = now;
  }
  return false;
}

/** A result goes with what it was made on: its input may have been made anew since, and have other files. */
function isMadeOn(rooms: LookupRooms, { id }: ResultRecord, input: Root): boolean {
  const top = input.layers.at(-1);
  if (top?.kind === "away" && top.layer.resultId === undefined) return false;
  const isSame = () => standsOn(rooms.state, id, snapshotOf(rooms, input));
  // Between the two looks that it takes another build may give one of them another name.
  return isSame() || isSame();
}

/** A snapshot that has become an image's layer is leased, so that it stays when the image goes. */
async function hold(
  { instance, snapshots }: LookupRooms,
  snapshot: string,
  { session, signal }: LookupContext,
): Promise<boolean> {
  if (!isDigest(snapshot)) return true;
  using _lock = await lock(instance, "images", { mode: "shared", signal });
  lease(session, snapshot);
  return snapshots.has(snapshot);
}
