/** Environments as lists of `NAME=value`. */

/** Later entries replace earlier ones of the same name in their place; one without `=` removes it. */
export function mergeEnvironment(base: readonly string[], changes: readonly string[]): string[] {
  const merged = new Map<string, string>();
  for (const entry of [...base, ...changes]) {
    const equals = entry.indexOf("=");
    if (equals < 0) merged.delete(entry);
    else merged.set(entry.slice(0, equals), entry);
  }
  return [...merged.values()];
}
