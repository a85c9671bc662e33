/**
 * Flags of `config` that may be given often: `NAME=value` adds, `NAME-` takes away, `-` takes all away. One that has
 * both `=` and `-` at its end adds.
 */

/** Sets of names: ports, volumes. */
export function changeSet(
  before: Readonly<Record<string, Record<string, never>>>,
  changes: readonly string[],
): Record<string, Record<string, never>> {
  const names = new Set(Object.keys(before));
  for (const change of changes) {
    if (change === "-") names.clear();
    else if (change.endsWith("-")) names.delete(change.slice(0, -1));
    else names.add(change);
  }
  return Object.fromEntries([...names].sort().map((name) => [name, {}]));
}

/** Labels and annotations: one without a value has an empty one. */
export function changeMap(
  before: Readonly<Record<string, string>>,
  changes: readonly string[],
): Record<string, string> {
  const values = new Map(Object.entries(before));
  for (const change of changes) {
    const equals = change.indexOf("=");
    if (equals >= 0) values.set(change.slice(0, equals), change.slice(equals + 1));
    else if (change === "-") values.clear();
    else if (change.endsWith("-")) values.delete(change.slice(0, -1));
    else values.set(change, "");
  }
  return Object.fromEntries([...values].sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** Values may refer to variables that are there: `PATH=/opt/bin:$PATH`. Names alone have been given their values. */
export function changeEnvironment(before: readonly string[], changes: readonly string[]): string[] {
  const entries = new Map(before.map((entry) => [nameOf(entry), entry]));
  for (const change of changes) {
    const equals = change.indexOf("=");
    if (equals >= 0) {
      const name = change.slice(0, equals);
      const entry = `${name}=${expand(change.slice(equals + 1), entries)}`;
      // At the end, also where it was there.
      entries.delete(name);
      entries.set(name, entry);
    } else if (change === "-") entries.clear();
    else entries.delete(change.replace(/-$/, ""));
  }
  return [...entries.values()];
}

function expand(value: string, entries: ReadonlyMap<string, string>): string {
  return value.replace(/\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/g, (_, braced?: string, bare?: string) => {
    const name = braced ?? bare ?? "";
    return entries.get(name)?.slice(name.length + 1) ?? "";
  });
}

function nameOf(entry: string): string {
  return entry.split("=", 1)[0] ?? "";
}
