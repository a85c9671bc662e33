/** Our paths as text give what node's give. */
import { expect, test } from "bun:test";
import { posix } from "node:path";
import { basename, dirname, isAbsolute, join, normalize, resolve } from "../../src/core/paths.ts";

const pieces = ["/", "a", "b", ".", "..", "/", "//", "c d", "é", "", " ", "..a", "b."];

/** The same ones each time: a fault that was found stays found. */
function* paths(count: number): Generator<string> {
  let seed = 1;
  const next = (below: number) => {
    seed = (seed * 48271) % 2147483647;
    return seed % below;
  };
  for (let made = 0; made < count; made += 1) {
    yield Array.from({ length: next(8) }, () => pieces[next(pieces.length)]).join("");
  }
}

test("each function gives what node:path gives", () => {
  for (const path of paths(20_000)) {
    expect([path, normalize(path)]).toEqual([path, posix.normalize(path)]);
    expect([path, dirname(path)]).toEqual([path, posix.dirname(path)]);
    expect([path, basename(path)]).toEqual([path, posix.basename(path)]);
    expect([path, isAbsolute(path)]).toEqual([path, posix.isAbsolute(path)]);
  }
});

test("several parts are joined and resolved as node does", () => {
  const all = [...paths(9_000)];
  for (let at = 0; at + 2 < all.length; at += 3) {
    const parts = all.slice(at, at + 3);
    expect([parts, join(...parts)]).toEqual([parts, posix.join(...parts)]);
    expect([parts, resolve(...parts)]).toEqual([parts, posix.resolve(...parts)]);
  }
});
