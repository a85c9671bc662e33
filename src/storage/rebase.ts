/** Layers that are unpacked before those below them are there. */
import { Conflict, NotFound } from "../core/errors.ts";
import type { State } from "../state/state.ts";
import type { Snapshotter } from "./snapshotter.ts";

/** True where a snapshot's directory holds what it adds and nothing of its parent, so that a parent can come later. */
export function unpacksAlone({ driver }: Pick<Snapshotter, "driver">): boolean {
  return driver === "overlay2";
}

/**
 * Puts an active snapshot without parent onto a committed one, for drivers of which `unpacksAlone` is true. The mode
 * and owner of its root stay what they are.
 * @throws NotFound when one of the two is not there; Conflict when the snapshot stands on another already.
 */
export function rebase(state: State, driver: string, key: string, parent: string): void {
  const find = (name: string) =>
    state.db
      .query<{ state: string; parent: string | null }, [string, string]>(
        "SELECT state, parent FROM snapshots WHERE key = ?1 AND driver = ?2",
      )
      .get(name, driver);
  state.transaction(() => {
    const snapshot = find(key);
    if (snapshot?.state !== "active") throw new NotFound(`snapshot ${key} does not exist`);
    if (snapshot.parent !== null) throw new Conflict(`snapshot ${key} stands on ${snapshot.parent} already`);
    if (find(parent)?.state !== "committed") {
      throw new NotFound(`snapshot ${parent} is not committed, so that nothing can stand on it`);
    }
    state.db.query("UPDATE snapshots SET parent = ?2 WHERE key = ?1").run(key, parent);
  });
}
