import { expect, test } from "bun:test";
import { humanDuration } from "../../src/core/durations.ts";
import { makeUpName, parseContainerName } from "../../src/engine/local/names.ts";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

test.each([
  [0, "Less than a second"],
  [1.2 * second, "1 second"],
  [59 * second, "59 seconds"],
  [61 * second, "About a minute"],
  [59 * minute, "59 minutes"],
  [61 * minute, "About an hour"],
  [47 * hour, "47 hours"],
  [3 * day, "3 days"],
  [15 * day, "2 weeks"],
  [70 * day, "2 months"],
  [800 * day, "2 years"],
])("%d ms is %s", (milliseconds, words) => expect(humanDuration(milliseconds)).toBe(words));

test("made-up names are fit to be given, and avoid those that are taken", () => {
  const taken = new Set<string>();
  for (let i = 0; i < 500; i += 1) {
    const name = makeUpName((candidate) => taken.has(candidate));
    expect(taken.has(name)).toBe(false);
    expect(parseContainerName(name)).toBe(name);
    taken.add(name);
  }
});

test.each(["a", "-a", "a b", "../x", "", "ä1", "a/b"])("the name %j is refused", (name) => {
  expect(() => parseContainerName(name)).toThrow("only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
});
