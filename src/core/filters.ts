/** `filters` of the Engine API: names, each with the values that were given for it. */
import { InvalidParameter } from "./errors.ts";

export type Filters = Record<string, string[]>;

/** @throws InvalidParameter for a name that is not among the known ones. */
export function checkFilters(filters: Filters, known: readonly string[]): void {
  for (const name of Object.keys(filters)) {
    if (!known.includes(name)) throw unknownFilter(name);
  }
}

/** To be thrown for a filter that there is not. */
export function unknownFilter(name: string): InvalidParameter {
  return new InvalidParameter(`invalid filter '${name}'`);
}

/**
 * What passes all filters; of the values of one filter any is enough.
 * @param testOf what a filter asks of an item; throws for names that there are not
 */
export function anyValue<Item>(
  filters: Filters,
  testOf: (name: string) => (item: Item, value: string) => boolean,
): (item: Item) => boolean {
  const tests = Object.entries(filters).map(([name, values]) => {
    const test = testOf(name);
    return (item: Item) => values.some((value) => test(item, value));
  });
  return (item) => tests.every((test) => test(item));
}

/** @param values one or more. @throws InvalidParameter `invalid filter 'dangling=[x]'`. */
export function parseFlag(name: string, values: readonly string[]): boolean {
  if (values.every((value) => value === "1" || value === "true")) return true;
  if (values.every((value) => value === "0" || value === "false")) return false;
  throw new InvalidParameter(`invalid filter '${name}=[${values.join(" ")}]'`);
}

/** @param wanted `key` or `key=value` */
export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf("=");
  const key = equals < 0 ? wanted : wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
}

/** Whether all wanted labels are there. */
export function hasLabels(labels: Readonly<Record<string, string>>, wanted: readonly string[]): boolean {
  return wanted.every((label) => hasLabel(labels, label));
}
