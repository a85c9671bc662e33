/** The life of a container from create to remove: states, signals, exit codes, waiting. */
import { expect, test } from "bun:test";
import { caseTimeout, contract, eventually, expectFailure, failureOf, uniqueName } from "./subjects.ts";

const never = "0001-01-01T00:00:00Z";

contract("the life of a container", (subject) => {
  test("a created container waits to be started", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    const { State, Path, Args, RestartCount } = await subject.engine.containers.inspect(container.id);
    expect(State).toMatchObject({ Status: "created", Running: false, Paused: false, Pid: 0, ExitCode: 0 });
    expect([State.StartedAt, State.FinishedAt]).toEqual([never, never]);
    expect([Path, Args, RestartCount]).toEqual(["true", [], 0]);
    expect(container.id).toMatch(/^[0-9a-f]{64}$/);
  });

  test("a started container runs and has a process", async () => {
    await using container = await subject.start(["sleep", "60"]);
    const { State } = await subject.engine.containers.inspect(container.id);
    expect(State).toMatchObject({ Status: "running", Running: true, Restarting: false, Dead: false });
    expect(State.Pid).toBeGreaterThan(0);
    expect(Date.parse(State.StartedAt)).toBeGreaterThan(Date.parse("2020-01-01"));
    expect(State.FinishedAt).toBe(never);
  });

  test("the exit code and the time of the end are kept", async () => {
    // It ends only when told to: dockerd takes the time of the start after the start, and that of an end from its
    // runtime, so a program that is over at once may have "ended" before it "started".
    await using container = await subject.start([
      "sh",
      "-c",
      "trap 'exit 42' TERM; echo up; while :; do sleep 0.05; done",
    ]);
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("up") || undefined);
    await subject.engine.containers.kill(container.id, "TERM");
    expect(await subject.exitCodeOf(container.id)).toBe(42);
    const { State } = await subject.engine.containers.inspect(container.id);
    expect(State).toMatchObject({
      Status: "exited",
      Running: false,
      ExitCode: 42,
      Pid: 0,
      OOMKilled: false,
      Error: "",
    });
    expect(Date.parse(State.FinishedAt)).toBeGreaterThanOrEqual(Date.parse(State.StartedAt));
  });

  test.each([0, 1, 125, 126, 127, 128, 200, 255])("exit code %d comes through", async (code) => {
    expect((await subject.run(["sh", "-c", `exit ${code}`])).code).toBe(code);
  });

  test.each([
    ["KILL", 137],
    ["TERM", 143],
    ["USR1", 138],
  ] as const)("death by SIG%s is exit code %d", async (signal, code) => {
    // Signals that the first process of a PID namespace has no handler for do not reach it from inside.
    const script = `trap 'exit ${code}' ${signal === "KILL" ? "HUP" : signal}; echo up; while :; do sleep 0.05; done`;
    await using container = await subject.start(["sh", "-c", script]);
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("up") || undefined);
    await subject.engine.containers.kill(container.id, signal);
    expect(await subject.exitCodeOf(container.id)).toBe(code);
  });

  test("a shell reports its child's death by signal as 128 + n", async () => {
    expect((await subject.run(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"])).code).toBe(137);
  });

  test("a container can be started again and keeps its files", async () => {
    await using container = await subject.start(["sh", "-c", "echo x >> /count; wc -l < /count"]);
    await subject.exitCodeOf(container.id);
    await subject.engine.containers.start(container.id);
    await subject.exitCodeOf(container.id);
    expect((await subject.logsOf(container.id)).stdout).toBe("1\n2\n");
  });

  test("starting what runs already changes nothing", async () => {
    await using container = await subject.start(["sleep", "60"]);
    const before = await subject.engine.containers.inspect(container.id);
    expect((await failureOf(subject.engine.containers.start(container.id))).kind).toBe("notModified");
    const after = await subject.engine.containers.inspect(container.id);
    expect(after.State).toEqual(before.State);
  });

  test("stop sends SIGTERM and lets the process finish", async () => {
    await using container = await subject.start([
      "sh",
      "-c",
      "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done",
    ]);
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("up") || undefined);
    await subject.engine.containers.stop(container.id, { timeout: 20 });
    const { State } = await subject.engine.containers.inspect(container.id);
    expect(State).toMatchObject({ Status: "exited", ExitCode: 7 });
    expect((await subject.logsOf(container.id)).stdout).toBe("up\nbye\n");
  });

  test("stop kills what does not listen", async () => {
    await using container = await subject.start(["sleep", "60"]);
    await subject.engine.containers.stop(container.id, { timeout: 1 });
    const { State } = await subject.engine.containers.inspect(container.id);
    expect(State).toMatchObject({ Status: "exited", ExitCode: 137 });
  });

  test("stop sends the container's own stop signal", async () => {
    await using container = await subject.start(
      ["sh", "-c", "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done"],
      { StopSignal: "SIGUSR1", StopTimeout: 20 },
    );
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("up") || undefined);
    await subject.engine.containers.stop(container.id);
    expect((await subject.engine.containers.inspect(container.id)).State.ExitCode).toBe(9);
  });

  test("stopping what does not run changes nothing", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    expect((await failureOf(subject.engine.containers.stop(container.id))).kind).toBe("notModified");
    expect((await subject.engine.containers.inspect(container.id)).State.Status).toBe("created");
  });

  test("kill without a signal is SIGKILL", async () => {
    await using container = await subject.start(["sleep", "60"]);
    await subject.engine.containers.kill(container.id);
    expect(await subject.exitCodeOf(container.id)).toBe(137);
  });

  test.each(["15", "TERM", "SIGTERM", "term"])("a signal can be written as %s", async (signal) => {
    await using container = await subject.start([
      "sh",
      "-c",
      "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done",
    ]);
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("up") || undefined);
    await subject.engine.containers.kill(container.id, signal);
    expect(await subject.exitCodeOf(container.id)).toBe(3);
  });

  test("an unknown signal is refused and the container runs on", async () => {
    await using container = await subject.start(["sleep", "60"]);
    await expectFailure(
      subject.engine.containers.kill(container.id, "NOPE"),
      "invalid",
      "invalid signal: NOPE",
      "Invalid signal: NOPE",
    );
    expect((await subject.engine.containers.inspect(container.id)).State.Running).toBe(true);
  });

  test("killing what does not run is a conflict", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    await expectFailure(
      subject.engine.containers.kill(container.id),
      "conflict",
      `cannot kill container: ${container.id}: container ${container.id} is not running`,
      `Cannot kill container: ${container.id}: Container ${container.id} is not running`,
    );
  });

  test(
    "restart gives a new process to a running container and starts one that had ended",
    async () => {
      await using container = await subject.start(["sleep", "60"]);
      const before = await subject.engine.containers.inspect(container.id);
      await subject.engine.containers.restart(container.id, { timeout: 0 });
      const after = await subject.engine.containers.inspect(container.id);
      expect(after.State).toMatchObject({ Status: "running", Running: true });
      expect(after.State.StartedAt).not.toBe(before.State.StartedAt);
      expect(after.RestartCount).toBe(0);

      await subject.engine.containers.kill(container.id);
      await subject.exitCodeOf(container.id);
      await subject.engine.containers.restart(container.id);
      expect((await subject.engine.containers.inspect(container.id)).State.Running).toBe(true);
    },
    caseTimeout,
  );

  test("pause freezes all processes, unpause lets them go on", async () => {
    await using container = await subject.start([
      "sh",
      "-c",
      "while :; do date +%s.%N > /now; sleep 0.02; done",
    ]);
    const { containers } = subject.engine;
    await containers.pause(container.id);
    const { State } = await containers.inspect(container.id);
    expect(State).toMatchObject({ Status: "paused", Running: true, Paused: true });
    await expectFailure(
      containers.pause(container.id),
      "conflict",
      `container ${container.id} is already paused`,
      `Container ${container.id} is already paused`,
    );
    await containers.unpause(container.id);
    expect((await containers.inspect(container.id)).State).toMatchObject({
      Status: "running",
      Paused: false,
    });
    await expectFailure(
      containers.unpause(container.id),
      "system",
      `container ${container.id} is not paused`,
      `Container ${container.id} is not paused`,
    );
  });

  test("what does not run cannot be paused", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    await expectFailure(
      subject.engine.containers.pause(container.id),
      "conflict",
      `container ${container.id} is not running`,
      `Container ${container.id} is not running`,
    );
  });

  test("a paused container can be removed by force", async () => {
    await using container = await subject.start(["sleep", "60"]);
    await subject.engine.containers.pause(container.id);
    await subject.engine.containers.remove(container.id, { force: true });
    expect((await failureOf(subject.engine.containers.inspect(container.id))).kind).toBe("notFound");
  });

  test("a running container is removed by force only", async () => {
    const name = uniqueName();
    await using container = await subject.start(["sleep", "60"], { name });
    await expectFailure(
      subject.engine.containers.remove(name),
      "conflict",
      `cannot remove container "${name}": container is running: stop the container before removing or force remove`,
      `You cannot remove a running container ${container.id}. Stop the container before attempting removal or force remove`,
    );
    expect((await subject.engine.containers.inspect(container.id)).State.Running).toBe(true);
    await subject.engine.containers.remove(name, { force: true });
    await expectFailure(
      subject.engine.containers.inspect(container.id),
      "notFound",
      `No such container: ${container.id}`,
    );
  });

  test("a container that removes itself is gone after its end", async () => {
    await using container = await subject.create({ Cmd: ["true"], HostConfig: { AutoRemove: true } });
    const removed = await subject.engine.containers.wait(container.id, "removed");
    await subject.engine.containers.start(container.id);
    expect((await removed.result).StatusCode).toBe(0);
    expect((await failureOf(subject.engine.containers.inspect(container.id))).kind).toBe("notFound");
  });

  test("rename changes the name and nothing else", async () => {
    const [before, after] = [uniqueName(), uniqueName()];
    await using container = await subject.start(["sleep", "60"], { name: before });
    await subject.engine.containers.rename(before, after);
    expect((await subject.engine.containers.inspect(after)).Id).toBe(container.id);
    expect((await subject.engine.containers.inspect(after)).Name).toBe(`/${after}`);
    expect((await failureOf(subject.engine.containers.inspect(before))).kind).toBe("notFound");
    await using other = await subject.create({ name: before });
    await expectFailure(
      subject.engine.containers.rename(after, before),
      "conflict",
      new RegExp(`The container name "/${before}" is already in use by container "?${other.id}"?\\.`),
    );
    await expectFailure(
      subject.engine.containers.rename(after, after),
      "invalid",
      "Renaming a container with the same name as its current name",
    );
  });
});

contract("waiting for a container", (subject) => {
  test("waiting for one that has ended answers at once", async () => {
    await using container = await subject.start(["sh", "-c", "exit 5"]);
    expect(await subject.exitCodeOf(container.id)).toBe(5);
    expect(await subject.exitCodeOf(container.id)).toBe(5);
  });

  test("waiting for one that was never started answers at once", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    expect(await subject.exitCodeOf(container.id)).toBe(0);
  });

  test("the next exit is not the last one", async () => {
    await using container = await subject.start(["sh", "-c", "exit 5"]);
    await subject.exitCodeOf(container.id);
    const next = await subject.engine.containers.wait(container.id, "next-exit");
    let settled = false;
    void next.result.finally(() => {
      settled = true;
    });
    await Bun.sleep(300);
    expect(settled).toBe(false);
    await subject.engine.containers.start(container.id);
    expect((await next.result).StatusCode).toBe(5);
  });

  test("several waits for one container all end", async () => {
    await using container = await subject.start(["sh", "-c", "sleep 0.3; exit 6"]);
    const waits = await Promise.all([1, 2, 3].map(() => subject.engine.containers.wait(container.id)));
    const codes = await Promise.all(waits.map(async (wait) => (await wait.result).StatusCode));
    expect(codes).toEqual([6, 6, 6]);
  });

  test("a wait for removal outlasts the exit", async () => {
    await using container = await subject.start(["sh", "-c", "exit 4"]);
    const removed = await subject.engine.containers.wait(container.id, "removed");
    await subject.exitCodeOf(container.id);
    await subject.engine.containers.remove(container.id);
    expect((await removed.result).StatusCode).toBe(4);
  });

  test("a wait can be given up", async () => {
    await using container = await subject.start(["sleep", "60"]);
    const controller = new AbortController();
    const wait = await subject.engine.containers.wait(container.id, "not-running", controller.signal);
    controller.abort(new Error("enough"));
    expect(wait.result).rejects.toThrow();
    expect((await subject.engine.containers.inspect(container.id)).State.Running).toBe(true);
  });

  test("a wait for what is not there fails at once", async () => {
    await expectFailure(subject.engine.containers.wait("nope"), "notFound", "No such container: nope");
  });
});
