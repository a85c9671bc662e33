/** Streams between the user and a process: detach keys, order, ends. */
import { describe, expect, test } from "bun:test";
import { DetachFilter, parseDetachKeys } from "../../src/cli/stream/detach-keys.ts";
import { runSession } from "../../src/cli/stream/session.ts";
import type { AttachedStreams, OutputFrame } from "../../src/engine/engine.ts";
import { fakeIo } from "./fake-io.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const keys = parseDetachKeys("");

describe("detach keys", () => {
  function pass(sequence: Uint8Array, ...chunks: string[]): { passed: string; detached: boolean } {
    const filter = new DetachFilter(sequence);
    let passed = "";
    for (const chunk of chunks) {
      const { data, detached } = filter.push(bytes(chunk));
      passed += Buffer.from(data).toString();
      if (detached) return { passed, detached };
    }
    return { passed: passed + Buffer.from(filter.end()).toString(), detached: false };
  }

  test("are recognised in one chunk and across chunks, and not passed on", () => {
    expect(pass(keys, "ab\x10\x11cd")).toEqual({ passed: "ab", detached: true });
    expect(pass(keys, "ab\x10", "\x11cd")).toEqual({ passed: "ab", detached: true });
    expect(pass(keys, "\x10", "", "\x11")).toEqual({ passed: "", detached: true });
  });

  test("a beginning that does not go on is passed on", () => {
    expect(pass(keys, "a\x10b")).toEqual({ passed: "a\x10b", detached: false });
    expect(pass(keys, "\x10", "\x10", "x")).toEqual({ passed: "\x10\x10x", detached: false });
    expect(pass(keys, "\x10\x10\x11")).toEqual({ passed: "\x10", detached: true });
    expect(pass(keys, "end\x10")).toEqual({ passed: "end\x10", detached: false });
  });

  test("a sequence that repeats itself is found wherever it begins", () => {
    expect(pass(parseDetachKeys("a,a,b"), "aaab")).toEqual({ passed: "a", detached: true });
    expect(pass(parseDetachKeys("a,b,a,c"), "ababac")).toEqual({ passed: "ab", detached: true });
  });

  test("are spelled as Docker spells them", () => {
    expect([...parseDetachKeys("ctrl-@,ctrl-a,ctrl-z,ctrl-[,ctrl-_,x,DEL")]).toEqual([
      0, 1, 26, 27, 31, 120, 127,
    ]);
    for (const bad of ["ctrl-", "foo", "ctrl-1", "a,,b", "é"]) {
      expect(() => parseDetachKeys(bad)).toThrow(`invalid detach keys (${bad}) provided`);
    }
  });
});

/** A process that writes `frames`, then waits for its stdin to end if it reads any. */
function fakeProcess(frames: OutputFrame[], options: { untilInputEnds?: boolean } = {}) {
  const received: string[] = [];
  const ended = Promise.withResolvers<void>();
  let closed = false;
  const streams: AttachedStreams = {
    output: (async function* () {
      yield* frames;
      if (options.untilInputEnds === true) await ended.promise;
    })(),
    async write(data) {
      received.push(Buffer.from(data).toString());
    },
    async closeInput() {
      received.push("<end>");
      ended.resolve();
    },
    close() {
      closed = true;
    },
  };
  return { streams, received, isClosed: () => closed };
}

describe("a session", () => {
  const out = (text: string): OutputFrame => ({ stream: "stdout", data: bytes(text) });
  const err = (text: string): OutputFrame => ({ stream: "stderr", data: bytes(text) });

  test("sorts the output and ends with it", async () => {
    const { io, ...fake } = splitIo(fakeIo());
    const process = fakeProcess([out("a"), err("b"), out("c")]);
    expect(await runSession(io, process.streams, { stdin: false, tty: false, detachKeys: keys })).toBe(
      "output ended",
    );
    expect([fake.stdout(), fake.stderr(), process.isClosed()]).toEqual(["ac", "b", true]);
  });

  test("hands our stdin on, and its end", async () => {
    const { io } = fakeIo({ stdin: ["one", "two"] });
    const process = fakeProcess([], { untilInputEnds: true });
    await runSession(io, process.streams, { stdin: true, tty: false, detachKeys: keys });
    expect(process.received).toEqual(["one", "two", "<end>"]);
  });

  test("without a terminal the detach keys are data", async () => {
    const { io } = fakeIo({ stdin: ["\x10\x11"] });
    const process = fakeProcess([], { untilInputEnds: true });
    await runSession(io, process.streams, { stdin: true, tty: false, detachKeys: keys });
    expect(process.received).toEqual(["\x10\x11", "<end>"]);
  });

  test("ends at the detach keys, and the terminal is as before", async () => {
    const fake = fakeIo({ stdin: ["ls\n\x10", "\x11"], terminal: { width: 80, height: 24 } });
    const process = fakeProcess([], { untilInputEnds: true });
    expect(await runSession(fake.io, process.streams, { stdin: true, tty: true, detachKeys: keys })).toBe(
      "detached",
    );
    expect([process.received, fake.modes, process.isClosed()]).toEqual([["ls\n"], ["raw", "cooked"], true]);
  });

  test("the terminal is as before when our reader went away", async () => {
    const fake = fakeIo({
      terminal: { width: 80, height: 24 },
      onWrite: () => {
        throw Object.assign(new Error("broken"), { code: "EPIPE" });
      },
    });
    const process = fakeProcess([out("x")]);
    const session = runSession(fake.io, process.streams, { stdin: true, tty: true, detachKeys: keys });
    expect(session).rejects.toThrow("write /dev/stdout: broken pipe");
    await session.catch(() => {});
    expect([fake.modes, process.isClosed()]).toEqual([["raw", "cooked"], true]);
  });
});

function splitIo(fake: ReturnType<typeof fakeIo>) {
  return { io: fake.io, stdout: () => fake.stdout, stderr: () => fake.stderr };
}
