import { expect, test } from "bun:test";
import { InvalidParameter } from "../../src/core/errors.ts";
import { openSnapshotter } from "../../src/storage/open.ts";
import { StorageBench, snapshotterConformance } from "./conformance.ts";

snapshotterConformance("vfs");

test("the driver that a data root was used with is found again", () => {
  using bench = new StorageBench("vfs");
  expect(openSnapshotter(bench.state, undefined).driver).toBe("vfs");
});

test("an unknown driver is refused, and the known ones are named", () => {
  using bench = new StorageBench("vfs");
  expect(() => openSnapshotter(bench.state, "aufs")).toThrow(InvalidParameter);
  expect(() => openSnapshotter(bench.state, "aufs")).toThrow("overlay2, btrfs, vfs");
});
