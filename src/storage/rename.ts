/** Gives a committed snapshot, with its children, another name. */
import { NotFound } from "../core/errors.ts";
import type { State } from "../state/state.ts";

/**
 * Part of a transaction.
 * @returns false, and changes nothing, when another snapshot has the name. @throws NotFound
 */
export function renameCommitted(state: State, driver: string, from: string, to: string): boolean {
  const { db } = state;
  if (db.query("SELECT 1 FROM snapshots WHERE key = ?1").get(to) !== null) return false;
  const { changes } = db
    .query("UPDATE snapshots SET key = ?2 WHERE key = ?1 AND driver = ?3 AND state = 'committed'")
    .run(from, to, driver);
  if (changes === 0) throw new NotFound(`snapshot ${from} does not exist`);
  db.query("UPDATE snapshots SET parent = ?2 WHERE parent = ?1").run(from, to);
  return true;
}
