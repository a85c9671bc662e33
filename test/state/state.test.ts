import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeInstance } from "../../src/core/instance.ts";
import { emitEvent, eventsAfter, followEvents, lastEventId } from "../../src/state/events.ts";
import { lock, lockIfFree } from "../../src/state/locks.ts";
import { openState, type State } from "../../src/state/state.ts";

const opened: { state: State; root: string }[] = [];

function newState(root = mkdtempSync("/tmp/davit-test-state-")): State {
  const state = openState(describeInstance(join(root, "data"), join(root, "exec")));
  opened.push({ state, root });
  return state;
}

afterEach(() => {
  for (const { state, root } of opened.splice(0)) {
    state.close();
    rmSync(root, { recursive: true, force: true });
  }
});

/** A second process on the same instance that runs `script` with `state` and `instance` in scope. */
function elsewhere(state: State, script: string): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  const source = new URL("../../src/", import.meta.url).pathname;
  const { dataRoot, execRoot } = state.instance;
  const program = `
    import { describeInstance } from "${source}core/instance.ts";
    import { openState } from "${source}state/state.ts";
    import { emitEvent } from "${source}state/events.ts";
    import { lock } from "${source}state/locks.ts";
    const instance = describeInstance(${JSON.stringify(dataRoot)}, ${JSON.stringify(execRoot)});
    const state = openState(instance);
    ${script}
  `;
  return Bun.spawn([process.execPath, "-e", program], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  for await (const chunk of stream) return Buffer.from(chunk).toString();
  return "";
}

describe("locks", () => {
  test("are exclusive between processes, and free again when the holder is killed", async () => {
    const state = newState();
    const holder = elsewhere(
      state,
      `const held = await lock(instance, "images"); console.log("held"); setInterval(() => held, 1000);`,
    );
    await firstLine(holder.stdout);
    expect(lockIfFree(state.instance, "images")).toBeUndefined();
    holder.kill("SIGKILL");
    using held = await lock(state.instance, "images");
    expect(held).toBeDefined();
  });

  test("are exclusive within a process, and wait until they are free", async () => {
    const { instance } = newState();
    const order: string[] = [];
    const first = await lock(instance, "network");
    const second = lock(instance, "network").then((held) => {
      order.push("second");
      held[Symbol.dispose]();
    });
    await Bun.sleep(20);
    order.push("first");
    first[Symbol.dispose]();
    await second;
    expect(order).toEqual(["first", "second"]);
  });

  test("that are shared let readers in together and keep a writer out", async () => {
    const { instance } = newState();
    using _one = await lock(instance, "volumes", { mode: "shared" });
    using _two = await lock(instance, "volumes", { mode: "shared" });
    expect(lockIfFree(instance, "volumes")).toBeUndefined();
  });

  test("can be given up", async () => {
    const { instance } = newState();
    using _held = await lock(instance, "images");
    const waiting = lock(instance, "images", { signal: AbortSignal.timeout(30) });
    expect(waiting).rejects.toThrow();
  });
});

describe("records", () => {
  test("of two processes that open a new instance at once are made once", async () => {
    const state = newState();
    const others = Array.from({ length: 4 }, () => elsewhere(state, `console.log("open"); state.close();`));
    for (const other of others) expect(await other.exited).toBe(0);
  });

  test("of a newer davit are left alone", () => {
    const root = mkdtempSync("/tmp/davit-test-state-");
    newState(root).db.run("PRAGMA user_version = 999");
    expect(() => newState(root)).toThrow("written by a newer davit");
  });

  test("of a transaction that throws are not there", () => {
    const state = newState();
    expect(() =>
      state.transaction(() => {
        emitEvent(state, { Type: "image", Action: "tag", Actor: { ID: "x", Attributes: {} } });
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(lastEventId(state)).toBe(0);
  });
});

describe("events", () => {
  const event = (action: string) =>
    ({ Type: "container", Action: action, Actor: { ID: "c", Attributes: {} } }) as const;

  test("of another process reach a follower in their order", async () => {
    const state = newState();
    const stop = new AbortController();
    const seen: string[] = [];
    const other = elsewhere(
      state,
      `for (let i = 0; i < 50; i += 1) {
         emitEvent(state, { Type: "container", Action: "a" + i, Actor: { ID: "c", Attributes: {} } });
       }`,
    );
    for await (const { message } of followEvents(state, 0, stop.signal)) {
      seen.push(message.Action);
      if (seen.length === 50) break;
    }
    expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => `a${i}`));
    expect(await other.exited).toBe(0);
  });

  test("that are old are dropped, new ones are kept", () => {
    const state = newState();
    state.transaction(() => {
      for (let i = 0; i < 6000; i += 1) {
        state.db
          .query("INSERT INTO events (time_nano, message) VALUES (?, ?)")
          .run(i, JSON.stringify(event("x")));
      }
    });
    for (let i = 0; i < 600; i += 1) emitEvent(state, event("y"));
    const kept = eventsAfter(state, 0);
    expect(kept.length).toBeLessThan(5200);
    expect(kept.at(-1)?.message.Action).toBe("y");
  });
});

test("the log stays short, also where each process ends without closing the database", async () => {
  const state = newState();
  const log = `${join(state.instance.dataRoot, "davit.db")}-wal`;
  // The last one that closes the database removes the log: nobody has it open but these, one after the other.
  state.close();
  let longest = 0;
  for (let round = 0; round < 12; round += 1) {
    const writer = elsewhere(
      state,
      `state.transaction(() => {
         for (let at = 0; at < 500; at += 1) {
           state.db.query("INSERT INTO build_mounts VALUES (?1, 'x', 1, 1, 1)").run("m" + at + "-" + process.pid);
         }
       });
       process.kill(process.pid, "SIGKILL");`,
    );
    await writer.exited;
    longest = Math.max(longest, statSync(log).size);
  }
  expect(longest).toBeGreaterThan(0);
  expect(longest).toBeLessThan(600_000);
});

test("processes that open the database side by side, after others died and left a long log, all get to write", async () => {
  const state = newState();
  state.close();
  const insert = `
    state.transaction(() => {
      for (let at = 0; at < 300; at += 1) {
        state.db.query("INSERT INTO build_mounts VALUES (?1, 'x', 1, 1, 1)").run(at + "-" + process.pid);
      }
    });
    process.kill(process.pid, "SIGKILL");`;
  for (let round = 0; round < 20; round += 1) {
    const writers = Array.from({ length: 6 }, () => elsewhere(state, insert));
    for (const writer of writers) await writer.exited;
    expect(writers.map(({ signalCode }) => signalCode)).toEqual(writers.map(() => "SIGKILL"));
  }
  const rows = newState(dirname(state.instance.dataRoot)).db.query("SELECT 1 FROM build_mounts").all();
  expect(rows).toHaveLength(20 * 6 * 300);
}, 60_000);
