/**
 * Thirty seconds of work by several hands at once, in which every command is killed at a random moment, and conmon
 * now and then. In the end every container is accounted for: none lost, none leaked.
 */
import { expect, test } from "bun:test";
import { eventually } from "../harness/eventually.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { conmonsOf } from "./conmon.ts";

const duration = 30_000;
const hands = 4;
/** Milliseconds. Kills come at any moment of a command's life, and some too late. */
const longestLife = 400;

/** A repeatable random number generator (mulberry32), so that a failure can be looked for with its seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Tally {
  /** Commands that had ended before they were killed. */
  ended: number;
  killed: number;
  /** Names of containers whose `run -d` or `create` said that it was done. */
  promised: Set<string>;
  /** Names for which `rm` was asked, whether it was done or not. */
  given: Set<string>;
}

async function work(davit: DavitInstance, hand: number, seed: number, tally: Tally): Promise<void> {
  const dice = random(seed);
  const pick = <Item>(items: readonly Item[]): Item | undefined => items[Math.floor(dice() * items.length)];
  const end = Date.now() + duration;
  const mine: string[] = [];
  for (let round = 0; Date.now() < end; round += 1) {
    const name = `hand-${hand}-${round}`;
    const known = pick(mine) ?? name;
    const commands: Record<string, string[]> = {
      run: [
        "run",
        "--detach",
        "--name",
        name,
        "--publish",
        "127.0.0.1::80",
        "--volume",
        "/data",
        "davit-busybox",
        "sleep",
        "600",
      ],
      "run --rm": ["run", "--rm", "--volume", "/data", "davit-busybox", "true"],
      create: ["create", "--name", name, "--volume", "/data", "davit-busybox", "sleep", "600"],
      start: ["start", known],
      stop: ["stop", "--timeout", "0", known],
      restart: ["restart", "--timeout", "0", known],
      exec: ["exec", known, "sh", "-c", "echo x; sleep 0.05"],
      rm: ["rm", "--force", "--volumes", known],
      ps: ["ps", "--all"],
    };
    const verb =
      pick(["run", "run", "run --rm", "create", "start", "stop", "restart", "exec", "exec", "rm", "ps"]) ??
      "ps";
    if (verb === "run" || verb === "create") mine.push(name);
    if (verb === "rm") tally.given.add(known);
    const child = davit.spawn(commands[verb] ?? []);
    const life = Math.ceil(dice() * longestLife);
    const timer = setTimeout(() => child.kill("SIGKILL"), life);
    const [code] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
    clearTimeout(timer);
    if (child.signalCode === "SIGKILL") tally.killed += 1;
    else tally.ended += 1;
    if ((verb === "run" || verb === "create") && code === 0) tally.promised.add(name);
    if (dice() < 0.03) killOne(conmonsOf(davit.instance), dice);
  }
}

function killOne(pids: number[], dice: () => number): void {
  const pid = pids[Math.floor(dice() * pids.length)];
  if (pid === undefined) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

test("thirty seconds of random kills under load lose nothing and leak nothing", async () => {
  const seed = Number(process.env.DAVIT_TEST_SEED ?? Date.now() % 1_000_000);
  console.log(`seed ${seed} (repeat with DAVIT_TEST_SEED)`);
  const tally: Tally = { ended: 0, killed: 0, promised: new Set(), given: new Set() };
  await using davit = await newInstance();
  await Promise.all(Array.from({ length: hands }, (_, hand) => work(davit, hand, seed + hand, tally)));
  console.log(
    `${tally.killed} commands killed, ${tally.ended} ended; ${tally.promised.size} containers promised`,
  );
  expect(tally.killed).toBeGreaterThan(50);
  expect(tally.ended).toBeGreaterThan(50);

  // The next command finds and repairs.
  const rows = await eventually(async () => {
    const listed = await davit.output([
      "ps",
      "--all",
      "--no-trunc",
      "--format",
      "{{.Names}} {{.ID}} {{.State}}",
    ]);
    const all = listed
      .split("\n")
      .filter((row) => row !== "")
      .map((row) => row.split(" "));
    const settled = all.every(([, , state]) => ["created", "running", "exited"].includes(state ?? ""));
    return settled ? all : undefined;
  });
  const names = new Set(rows.map(([name]) => name));
  const problems = [...tally.promised]
    .filter((name) => !names.has(name) && !tally.given.has(name))
    .map((name) => `${name} was promised and is lost`);

  const volumes = (await davit.output(["volume", "ls", "--quiet"])).split("\n").filter((name) => name !== "");
  if (volumes.length !== rows.length) problems.push(`${volumes.length} volumes of ${rows.length} containers`);

  // Each is what ps says it is: what runs can be entered, what does not can be started; and all can be removed.
  for (const [name = "", , state] of rows) {
    if (name.startsWith("hand-")) {
      const started = state === "running" ? undefined : await davit.run(["start", name]);
      if (started !== undefined && started.code !== 0)
        problems.push(`${name} does not start: ${started.stderr}`);
      const entered = await davit.run(["exec", name, "echo", "alive"]);
      if (entered.stdout !== "alive\n")
        problems.push(`${name} (${state}) cannot be entered: ${entered.stderr}`);
    } else if (state === "exited") {
      problems.push(`${name} was run with --rm, has ended and is still there`);
    }
    const removed = await davit.run(["rm", "--force", "--volumes", name]);
    if (removed.code !== 0) problems.push(`${name} (${state}) cannot be removed: ${removed.stderr}`);
  }
  const kept = await davit.output(["volume", "ls", "--quiet"]);
  if (kept !== "") problems.push(`volumes without a container: ${kept}`);
  for (const problem of problems) console.error(problem);
  expect(problems).toEqual([]);
  // What is left in the kernel and on disk, the instance's end finds.
}, 180_000);
