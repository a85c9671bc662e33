/** Timing commands, and the numbers that come of it. */
import type { Subject } from "./engines.ts";

export interface Timing {
  median: number;
  least: number;
  most: number;
  runs: number;
}

/** @throws when there are no samples. */
export function summarize(samples: readonly number[]): Timing {
  const sorted = [...samples].sort((one, other) => one - other);
  const middle = sorted.length / 2;
  const low = sorted[Math.ceil(middle) - 1];
  const high = sorted[Math.floor(middle)];
  const [least, most] = [sorted[0], sorted.at(-1)];
  if (low === undefined || high === undefined || least === undefined || most === undefined) {
    throw new Error("nothing was measured");
  }
  return { median: (low + high) / 2, least, most, runs: sorted.length };
}

/** Runs one command of an engine to its end. @throws with its output when it fails. */
export async function run(subject: Subject, args: readonly string[]): Promise<string> {
  const child = Bun.spawn([...subject.command, ...args], {
    env: { ...process.env, ...subject.environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0)
    throw new Error(`${subject.name} ${args.join(" ")} ended with ${code}:\n${errors}${output}`);
  return output;
}

/** Milliseconds from the start of a command to its end, as a user waits for it. */
export async function time(subject: Subject, args: readonly string[]): Promise<number> {
  const began = performance.now();
  await run(subject, args);
  return performance.now() - began;
}

/**
 * Measures each subject in turn, round after round, so that whatever slows the machine down for a while slows all
 * of them. `once` does it one time and gives milliseconds.
 */
export async function interleave(
  subjects: readonly Subject[],
  rounds: { warmup: number; counted: number },
  once: (subject: Subject, round: number) => Promise<number>,
): Promise<Map<Subject, Timing>> {
  const samples = new Map<Subject, number[]>(subjects.map((subject) => [subject, []]));
  for (let round = -rounds.warmup; round < rounds.counted; round += 1) {
    for (const subject of subjects) {
      const milliseconds = await once(subject, round);
      if (round >= 0) samples.get(subject)?.push(milliseconds);
    }
  }
  return new Map([...samples].map(([subject, values]) => [subject, summarize(values)]));
}

/** Runs `count` tasks, `width` at a time. */
export async function inParallel(
  count: number,
  width: number,
  task: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      await task(index);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}
