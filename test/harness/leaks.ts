/** Looks for what tests left on the machine. */
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { anyTestInstance, findInKernel } from "./kernel.ts";
import { describeFacts } from "./teardown.ts";

/** Everything on the machine that belongs to a test, one line each. */
export function snapshot(): string[] {
  const directories = readdirSync(tmpdir())
    .filter((name) => name.startsWith("davit-test-"))
    .map((name) => `directory ${join(tmpdir(), name)}`);
  return [...describeFacts(findInKernel(anyTestInstance)), ...directories];
}

/** @param before what was there already and is none of our business. @throws with a list when anything is left. */
export function assertNothingLeft(before: readonly string[] = []): void {
  const left = snapshot().filter((line) => !before.includes(line));
  if (left.length > 0) throw new Error(`left behind:\n${left.join("\n")}`);
}
