/** Which blob holds which layer: the table compressed_layers. Facts about bytes, which never become untrue. */
import type { DiffId, Digest } from "../../core/ids.ts";
import type { State } from "../../state/state.ts";
import type { Descriptor } from "../manifest.ts";

/** Rows kept; the oldest go first. */
const kept = 20_000;

/** Notes that the blob, decompressed, is the layer. Part of a transaction, or alone. */
export function noteCompressed(
  state: State,
  diffId: DiffId,
  { digest, size, mediaType }: Pick<Descriptor, "digest" | "size" | "mediaType">,
): void {
  state.db
    .query("INSERT OR IGNORE INTO compressed_layers VALUES (?1, ?2, ?3, ?4)")
    .run(diffId, digest, size, mediaType);
  state.db
    .query("DELETE FROM compressed_layers WHERE rowid <= (SELECT max(rowid) FROM compressed_layers) - ?1")
    .run(kept);
}

/** True when the blob is known to hold this layer. */
export function isKnownPair(state: State, diffId: DiffId, digest: Digest): boolean {
  if ((diffId as Digest) === digest) return true;
  return (
    state.db
      .query("SELECT 1 FROM compressed_layers WHERE diff_id = ?1 AND digest = ?2")
      .get(diffId, digest) !== null
  );
}

/** Blobs that hold this layer, the one noted first at the head. */
export function compressedFormsOf(state: State, diffId: DiffId): Descriptor[] {
  return state.db
    .query<{ digest: string; size: number; media_type: string }, [string]>(
      "SELECT digest, size, media_type FROM compressed_layers WHERE diff_id = ?1 ORDER BY rowid",
    )
    .all(diffId)
    .map((row) => ({ digest: row.digest as Digest, size: row.size, mediaType: row.media_type }));
}

/** None of the blobs that hold this layer can be made any more. */
export function forgetCompressed(state: State, diffId: DiffId): void {
  state.db.query("DELETE FROM compressed_layers WHERE diff_id = ?1").run(diffId);
}
