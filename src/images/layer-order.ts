/** The order in which layers that stand on each other can be removed. */
import type { Snapshotter } from "../storage/snapshotter.ts";

/** Children before parents, as removal wants them. */
export async function uppermostFirst<Key extends string>(
  snapshots: Snapshotter,
  keys: readonly Key[],
): Promise<Key[]> {
  if (keys.length < 2) return [...keys];
  const parents = new Map((await snapshots.list()).map(({ key, parent }) => [key, parent]));
  const depthOf = (key: string) => {
    let depth = 0;
    for (let at = parents.get(key); at !== undefined; at = parents.get(at)) depth += 1;
    return depth;
  };
  return keys
    .map((key) => ({ key, depth: depthOf(key) }))
    .sort((a, b) => b.depth - a.depth)
    .map(({ key }) => key);
}
