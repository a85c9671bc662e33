import assert from "node:assert/strict";
import { test } from "node:test";
import { Tasks } from "../src/tasks.js";

test("a task is added, listed and finished", () => {
  const tasks = new Tasks();
  const { id } = tasks.add(" write tests ");
  tasks.finish(id);
  assert.deepEqual(tasks.list(), [{ id: 1, title: "write tests", done: true }]);
});

test("a task needs a title", () => {
  assert.throws(() => new Tasks().add("  "), TypeError);
});

test("a task that is not there cannot be finished", () => {
  assert.equal(new Tasks().finish(7), undefined);
});
