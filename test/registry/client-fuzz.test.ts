import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { InvalidParameter } from "../../src/core/errors.ts";
import { parseChallenges } from "../../src/registry/client/challenge.ts";
import { manifestTypeOf } from "../../src/registry/client/manifest-type.ts";
import { checkInsecure, checkMirror } from "../../src/registry/config-file.ts";
import { parseJsonFile } from "../../src/registry/json-file.ts";
import { sampleBytes, scratch } from "./client-support.ts";

/** Texts that are nearly what they should be: pieces of it in any order, cut and joined. The same each time. */
function* nearly(text: string, count: number): Generator<string> {
  const random = sampleBytes(count * 8, 42);
  for (let at = 0; at < count; at += 1) {
    const [a = 0, b = 0, c = 0, d = 0, kind = 0, letter = 0] = random.subarray(at * 8, at * 8 + 8);
    const place = (a * 256 + b) % (text.length + 1);
    const length = (c * 256 + d) % 12;
    const rest = text.slice(place + (kind % 2 === 0 ? length : 0));
    yield text.slice(0, place) + (kind % 3 === 0 ? String.fromCharCode(letter) : "") + rest;
  }
}

test("challenges that are nearly ones are read or left out, and never throw", () => {
  const header =
    'Bearer realm="https://a.example/token",service="x y",scope="repository:a:pull", Basic realm="\\"q\\""';
  for (const text of nearly(header, 3000)) {
    for (const { scheme, parameters } of parseChallenges(text)) {
      expect(scheme).toBe(scheme.toLowerCase());
      for (const name of parameters.keys()) expect(name).toBe(name.toLowerCase());
    }
  }
});

test("a file that is not JSON is told with a place inside it, whatever is wrong with it", () => {
  using directory = scratch();
  const path = join(directory.path, "config.json");
  const text = '{"a": [1, -2.5e3, {"b": null}],\n "c": {"d": "e\\u00e9\\n", "f": [true, false]}}';
  let broken = 0;
  for (const changed of nearly(text, 1500)) {
    writeFileSync(path, changed);
    let isJson = true;
    try {
      JSON.parse(changed);
    } catch {
      isJson = changed.trim() === "";
    }
    if (isJson) {
      expect(parseJsonFile(path)).toBeDefined();
      continue;
    }
    broken += 1;
    const [, line = "", column = ""] =
      /config\.json:(\d+):(\d+): not valid JSON/.exec(failure(() => parseJsonFile(path))) ?? [];
    const lines = changed.split("\n");
    expect(Number(line)).toBeGreaterThan(0);
    expect(Number(line)).toBeLessThanOrEqual(lines.length);
    expect(Number(column)).toBeLessThanOrEqual((lines[Number(line) - 1]?.length ?? 0) + 1);
  }
  expect(broken).toBeGreaterThan(500);
});

test("manifests and configuration that are nearly right are read or refused, never more", () => {
  const manifest =
    '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}';
  for (const text of nearly(manifest, 1500))
    onlyRefuses(() => manifestTypeOf(Buffer.from(text), "", "manifest"));
  for (const text of nearly("https://mirror.example:5000/", 1500)) onlyRefuses(() => checkMirror(text));
  for (const text of nearly("[fd00::1]:5000", 1500)) onlyRefuses(() => checkInsecure(text));
  for (const text of nearly("10.20.0.0/16", 1500)) onlyRefuses(() => checkInsecure(text));
});

function failure(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof InvalidParameter) return error.message;
    throw error;
  }
  return "";
}

function onlyRefuses(work: () => unknown): void {
  failure(work);
}
