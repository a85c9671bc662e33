/**
 * Docker's verbs on a working container: `run`, `rm` and `inspect` act on it where nothing else has its name. Asked
 * only when a command is about to say that there is no such thing.
 */
import type { Engine } from "../../engine/engine.ts";
import { Diverted } from "../command.ts";
import { FlagSet } from "../flags/flag-set.ts";
import { parseFlags } from "../flags/parse.ts";

/** So much of an id is no accident. */
const leastDigits = 12;

export async function isWorkingContainer(engine: Engine, word: string): Promise<boolean> {
  const known = (await engine.working?.list()) ?? [];
  const isId = word.length >= leastDigits && /^[0-9a-f]+$/.test(word);
  return known.some(({ id, name }) => name === word || (isId && id.startsWith(word)));
}

/** @throws Diverted where the word is a working container's: what Buildah's verb does with all the words */
export async function divertToWorking(engine: Engine, word: string, verb: "run" | "inspect"): Promise<void> {
  if (!(await isWorkingContainer(engine, word))) return;
  const command = verb === "run" ? (await import("./run.ts")).run : (await import("./inspect.ts")).inspect;
  throw new Diverted(async (invocation) => {
    const flags = new FlagSet();
    const act = command.define(flags);
    const { positional } = parseFlags(flags, invocation.words, false);
    return await act({ ...invocation, args: positional });
  });
}
