/** Timing commands, and the numbers that come of it. */
import { readFileSync } from "node:fs";
import { hasErrno } from "../src/core/errors.ts";
import { withNetworkNamespace } from "../src/linux/namespaces.ts";
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

/** A program, and what to call it; an engine is one. */
export interface Program {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment: Record<string, string>;
  /** Path of the network namespace that it runs in, where that is not the bench's own. */
  readonly network?: string;
}

/** A command that has ended well. */
export interface Ended {
  readonly output: string;
  /** Milliseconds from its start to its first output; undefined when it said nothing. */
  readonly firstOutput: number | undefined;
  /** The most memory that it had, in bytes (RSS); 0 where nobody looked. */
  readonly peak: number;
}

/** Does what starts a process, in the network namespace at a path, if there is one. */
export function insideNetwork<Result>(network: string | undefined, start: () => Result): Result {
  return network === undefined ? start() : withNetworkNamespace(network, start);
}

/**
 * Runs one command to its end.
 * @param looksAtMemory costs time of the command's own
 * @throws with its output when it fails.
 */
export async function follow(
  program: Program,
  args: readonly string[],
  looksAtMemory = false,
): Promise<Ended> {
  const { name, command, environment, network } = program;
  const start = () =>
    Bun.spawn([...command, ...args], {
      env: { ...process.env, ...environment },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  const began = performance.now();
  const child = insideNetwork(network, start);
  const said = new Response(child.stderr).text();
  let peak = 0;
  const look = looksAtMemory
    ? setInterval(() => {
        peak = Math.max(peak, mostMemoryOf(child.pid));
      }, 20)
    : undefined;
  const chunks: Uint8Array[] = [];
  let firstOutput: number | undefined;
  for await (const chunk of child.stdout) {
    firstOutput ??= performance.now() - began;
    chunks.push(chunk);
  }
  const [errors, code] = await Promise.all([said, child.exited]);
  clearInterval(look);
  const output = Buffer.concat(chunks).toString();
  if (code !== 0) throw new Error(`${name} ${args.join(" ")} ended with ${code}:\n${errors}${output}`);
  return { output, firstOutput, peak };
}

/**
 * Bytes; 0 for a process that has ended. Not what wait4(2) tells: into that the kernel counts what the process that
 * started it had, us.
 */
function mostMemoryOf(pid: number): number {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
    return Number(kilobytes ?? 0) * 1024;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return 0;
    throw error;
  }
}

/** What a command prints. */
export async function run(subject: Subject, args: readonly string[]): Promise<string> {
  return (await follow(subject, args)).output;
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
export async function interleave<One extends Subject>(
  subjects: readonly One[],
  rounds: { warmup: number; counted: number },
  once: (subject: One, round: number) => Promise<number>,
): Promise<Map<One, Timing>> {
  const samples = new Map<One, number[]>(subjects.map((subject) => [subject, []]));
  for (let round = -rounds.warmup; round < rounds.counted; round += 1) {
    for (const subject of subjects) {
      await untilQuiet();
      const milliseconds = await once(subject, round);
      if (round >= 0) samples.get(subject)?.push(milliseconds);
    }
  }
  return new Map([...samples].map(([subject, values]) => [subject, summarize(values)]));
}

/**
 * What a command leaves to be done in the background (Podman tidies up after an exec for a tenth of a second) is not the
 * next one's work: waits until for some time nobody but us wants a processor. Where that does not come, in a quarter of
 * a minute, the measuring goes on.
 */
async function untilQuiet(): Promise<void> {
  const until = performance.now() + 15_000;
  for (let quiet = 0; quiet < 10 && performance.now() < until; ) {
    await Bun.sleep(5);
    quiet = othersRunning() ? 0 : quiet + 1;
  }
}

/** proc_loadavg(5): the fourth field is `<threads that run or could> / <all>`; we are one of them. */
function othersRunning(): boolean {
  const [running = ""] = readFileSync("/proc/loadavg", "latin1").split(" ")[3]?.split("/") ?? [];
  return Number(running) > 1;
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
