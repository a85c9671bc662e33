/** Archives with random damage, and random names: accepted or refused by name, never an accident. */
import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { DavitError } from "../../src/core/errors.ts";
import { listImages } from "../../src/images/list.ts";
import { canonicalForm, parseReference } from "../../src/images/references.ts";
import { removeImage } from "../../src/images/remove.ts";
import { randomNumbers } from "./random.ts";
import { dockerArchive, expectEmpty, fileLayer, load, testStore } from "./support.ts";

function damage(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const copy = Buffer.from(bytes);
  for (let count = 1 + random(8); count > 0; count -= 1) {
    const at = random(copy.length);
    const kind = random(4);
    if (kind === 0) copy[at] = random(256);
    else if (kind === 1) copy.fill(random(256), at, Math.min(copy.length, at + random(64)));
    else if (kind === 2) copy.copyWithin(at, random(copy.length), random(copy.length));
    else copy.write(["9", "{", '"', "null", "-1", "../", "\0"][random(7)] ?? "", at);
  }
  return random(5) === 0 ? copy.subarray(0, random(copy.length)) : copy;
}

for (const [name, pack] of [
  ["plain", (bytes: Uint8Array) => bytes],
  ["gzip", gzipSync],
] as const) {
  test(`a ${name} archive with random damage is loaded whole or refused by a named error`, async () => {
    await using store = testStore();
    const archive = pack(
      dockerArchive(
        {
          layers: [fileLayer("a", "a".repeat(100)), fileLayer("b", "b")],
          tags: ["fuzz:1"],
          config: { Env: ["A=b"] },
        },
        { layers: [fileLayer("a", "a".repeat(100))], tags: ["fuzz:2"] },
      ),
    );
    for (let seed = 1; seed <= 150; seed += 1) {
      try {
        await load(store, damage(archive, randomNumbers(seed)));
      } catch (error) {
        if (!(error instanceof DavitError)) throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    for (const { Id } of await listImages(store, { all: true }))
      await removeImage(store, Id, { force: true });
    await expectEmpty(store);
  });
}

test("a random name is refused, or says the same in its canonical form", () => {
  const random = randomNumbers(7);
  const parts = [
    "a",
    "b1",
    "docker.io",
    "localhost",
    "A",
    ".",
    "_",
    "__",
    "-",
    "/",
    "/",
    ":",
    "@",
    "sha256:",
    "0".repeat(64),
    " ",
    "[::1]",
    "5000",
    "é",
    "\n",
  ];
  let accepted = 0;
  for (let count = 0; count < 50_000; count += 1) {
    const text = Array.from({ length: 1 + random(8) }, () => parts[random(parts.length)]).join("");
    try {
      const canonical = canonicalForm(parseReference(text));
      accepted += 1;
      expect([text, canonicalForm(parseReference(canonical))]).toEqual([text, canonical]);
    } catch (error) {
      if (!(error instanceof DavitError)) throw new Error(JSON.stringify(text), { cause: error });
    }
  }
  expect(accepted).toBeGreaterThan(1000);
});
