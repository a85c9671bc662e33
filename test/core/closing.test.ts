import { expect, test } from "bun:test";
import { Closing } from "../../src/core/closing.ts";

test("closes the last first, and each once", () => {
  const closed: string[] = [];
  const closing = new Closing();
  {
    using scope = closing;
    scope.defer(() => closed.push("first"));
    const resource = { [Symbol.dispose]: () => closed.push("second") };
    expect(scope.use(resource)).toBe(resource);
  }
  expect(closed).toEqual(["second", "first"]);
  closing[Symbol.dispose]();
  expect(closed).toHaveLength(2);
});

test("what was moved is closed by its new holder", () => {
  const closed: string[] = [];
  let moved: Closing;
  {
    using scope = new Closing();
    scope.defer(() => closed.push("it"));
    moved = scope.move();
  }
  expect(closed).toEqual([]);
  moved[Symbol.dispose]();
  expect(closed).toEqual(["it"]);
});

test("a failure does not keep the others from being closed", () => {
  const closed: string[] = [];
  const closing = new Closing();
  closing.defer(() => closed.push("first"));
  closing.defer(() => {
    throw new Error("second");
  });
  expect(() => closing[Symbol.dispose]()).toThrow("second");
  expect(closed).toEqual(["first"]);
});
