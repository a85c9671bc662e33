import { expect, test } from "bun:test";
import { isAlive, openProcess, startTimeOf } from "../../src/linux/processes.ts";

test("a process is known by its pid and start time", async () => {
  const child = Bun.spawn(["sleep", "100"]);
  const started = startTimeOf(child.pid) ?? 0;
  expect(started).toBeGreaterThan(0);
  expect(isAlive(child.pid, started)).toBe(true);
  expect(isAlive(child.pid, started + 1)).toBe(false);
  child.kill(9);
  await child.exited;
  expect(isAlive(child.pid, started)).toBe(false);
  expect(startTimeOf(child.pid)).toBeUndefined();
});

test("the end of a process that is not our child is heard, once and by many", async () => {
  const parent = Bun.spawn(["sh", "-c", "sleep 0.1 & echo $!; exec sleep 100"], { stdout: "pipe" });
  try {
    const reader = parent.stdout.getReader();
    const pid = Number(Buffer.from((await reader.read()).value ?? []).toString("utf8"));
    using handle = openProcess(pid);
    if (handle === undefined) throw new Error("the process was gone at once");
    expect(handle.hasEnded()).toBe(false);
    await Promise.all([handle.ended(), handle.ended()]);
    expect(handle.hasEnded()).toBe(true);
    await handle.ended();
  } finally {
    parent.kill(9);
    await parent.exited;
  }
});

test("a signal goes to this process only", async () => {
  const child = Bun.spawn(["sleep", "100"]);
  using handle = openProcess(child.pid);
  expect(handle?.signal(0)).toBe(true);
  expect(handle?.signal(15)).toBe(true);
  await child.exited;
  expect(handle?.signal(15)).toBe(false);
  expect(child.signalCode).toBe("SIGTERM");
});

test("waiting can be given up", async () => {
  const child = Bun.spawn(["sleep", "100"]);
  using handle = openProcess(child.pid);
  await expect(handle?.ended(AbortSignal.timeout(20))).rejects.toThrow("timed out");
  child.kill(9);
  await child.exited;
});

test("a pid that nobody has gives nothing", () => {
  expect(openProcess(4_194_303)).toBeUndefined();
  expect(startTimeOf(4_194_303)).toBeUndefined();
});
