/** What variables a word may refer to. */

export interface Variables {
  get(name: string): string | undefined;
  /** All names, for suggestions. */
  names(): Iterable<string>;
}

export const noVariables: Variables = { get: () => undefined, names: () => [] };

/** Assignments in their order; a later one of the same name counts. */
export function variablesFrom(pairs: Iterable<readonly [string, string]>): Variables {
  const values = new Map(pairs);
  return { get: (name) => values.get(name), names: () => values.keys() };
}
