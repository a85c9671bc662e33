/**
 * davit is killed at each named point of create, start, stop, exit and rm, as by the OOM killer. The next command
 * must find and repair: the container is accounted for, works, and goes without a trace. Whatever is left at the
 * end of a test makes its instance fail it.
 */
import { describe, expect, test } from "bun:test";
import type { HostConfig } from "../../src/core/objects.ts";
import { eventually, until } from "../harness/eventually.ts";
import { busyboxArchive, busyboxImage } from "../harness/images.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { findInKernel, ownershipOf } from "../harness/kernel.ts";
import { recordedState } from "../harness/records.ts";
import { conmonsOf } from "./conmon.ts";

const name = "victim";
const page = "echo hello from $HOSTNAME; exec sleep 600";
/** With everything that a start has to make and an end has to take away. */
const creation = [
  "--name",
  name,
  "--hostname",
  "web",
  "--publish",
  "127.0.0.1::80",
  "--volume",
  "kept:/data",
  "--volume",
  "/anonymous",
  "--tmpfs",
  "/t",
  "--memory",
  "64m",
  "davit-busybox",
  "sh",
  "-c",
  page,
];

/** SIGKILL. */
const killed = 137;

async function killAt(davit: DavitInstance, point: string, args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await davit.run(args, { env: { DAVIT_FAULT: point } });
  if (code !== killed)
    throw new Error(`davit ${args[0]} did not pass ${point}: exit code ${code}\n${stdout}${stderr}`);
}

/** The state that `ps --all` shows, undefined when it is not listed. What ps says, inspect says, too. */
async function stateOf(davit: DavitInstance): Promise<string | undefined> {
  const answer = await eventually(async () => {
    const listed = await davit.output(["ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.State}}"]);
    const rows = listed.split("\n").filter((row) => row.startsWith(`${name} `));
    expect(rows.length).toBeLessThanOrEqual(1);
    const inspected = await davit.run(["inspect", "--format", "{{.State.Status}}", name]);
    const [listedState, inspectedState] = [
      rows[0]?.split(" ")[1],
      inspected.code === 0 ? inspected.stdout.trim() : undefined,
    ];
    // It may have ended between the two.
    return listedState === inspectedState ? { state: listedState } : undefined;
  });
  return answer.state;
}

/** From whatever state it was left in, the container can be brought to run, used, stopped, and removed. */
async function useToTheEnd(davit: DavitInstance): Promise<void> {
  const before = await stateOf(davit);
  expect(["created", "running", "exited"]).toContain(before ?? "none");
  if (before === "running" && conmonsOf(davit.instance).length === 0) {
    // Nobody reads its output any more, and nobody will know its exit code; but it runs, and ends when asked.
    expect(await davit.output(["exec", name, "cat", "/etc/hostname"])).toBe("web");
    await davit.output(["stop", "--timeout", "0", name]);
    expect(await davit.output(["inspect", "--format", "{{.State.ExitCode}}", name])).toMatch(/^(137|255)$/);
  }
  if ((await stateOf(davit)) !== "running") await davit.output(["start", name]);
  expect(await stateOf(davit)).toBe("running");
  expect(await davit.output(["exec", name, "cat", "/etc/hostname"])).toBe("web");
  expect(
    await davit.output(["exec", name, "sh", "-c", "ls -d /data /anonymous /t /sys/class/net/eth0 | wc -l"]),
  ).toBe("4");
  await until(async () => (await davit.output(["logs", name])).includes("hello from web"));
  await davit.output(["stop", "--timeout", "0", name]);
  expect(await stateOf(davit)).toBe("exited");
  expect(await davit.output(["inspect", "--format", "{{.State.ExitCode}}", name])).toBe("137");
  await davit.output(["start", name]);
  expect(await stateOf(davit)).toBe("running");
  await davit.output(["rm", "--force", "--volumes", name]);
  expect(await stateOf(davit)).toBeUndefined();
  // The named volume stays, the anonymous one went.
  expect(await davit.output(["volume", "ls", "--quiet"])).toBe("kept");
}

const timeout = 60_000;

describe("killed during create", () => {
  test.each([
    "snapshot:reserved",
    "snapshot:made",
    "create:claimed",
    "create:snapshot",
    "create:mounts",
    "create:recorded",
  ])(
    "at %s",
    async (point) => {
      await using davit = await newInstance();
      await killAt(davit, point, ["create", ...creation]);
      const state = await stateOf(davit);
      expect(["created", undefined]).toContain(state);
      // Half-made, it is gone, and its name is free.
      if (state === undefined) await davit.output(["create", ...creation]);
      await useToTheEnd(davit);
    },
    timeout,
  );
});

const startPoints: string[] = [
  "start:recorded",
  "start:mounted",
  "start:reserved",
  "reserve:recorded",
  "start:created",
  "plug:veth",
  "start:plugged",
  "start:started",
  "start:done",
];

describe("killed during start", () => {
  test.each(startPoints)(
    "at %s, conmon alive",
    async (point) => {
      await using davit = await newInstance();
      await davit.output(["create", ...creation]);
      await killAt(davit, point, ["start", name]);
      await useToTheEnd(davit);
    },
    timeout,
  );

  test.each(startPoints)(
    "at %s, conmon killed, too",
    async (point) => {
      await using davit = await newInstance();
      await davit.output(["create", ...creation]);
      await killAt(davit, point, ["start", name]);
      for (const pid of conmonsOf(davit.instance)) process.kill(pid, "SIGKILL");
      await useToTheEnd(davit);
    },
    timeout,
  );

  test.each(startPoints)(
    "at %s, the next command removes it",
    async (point) => {
      await using davit = await newInstance();
      await davit.output(["create", ...creation]);
      await killAt(davit, point, ["start", name]);
      await davit.output(["rm", "--force", "--volumes", name]);
      expect(await stateOf(davit)).toBeUndefined();
    },
    timeout,
  );

  test.each(startPoints)(
    "at %s of run --rm, it is run or gone, not lost",
    async (point) => {
      await using davit = await newInstance();
      await killAt(davit, point, ["run", "--detach", "--rm", ...creation]);
      const state = await stateOf(davit);
      expect(["created", "running", undefined]).toContain(state);
      if (state !== undefined) await davit.output(["rm", "--force", "--volumes", name]);
      // The name is free.
      await davit.output(["create", ...creation]);
    },
    timeout,
  );
});

describe("conmon killed while the container runs", () => {
  test(
    "the container is accounted for, can be stopped and started again",
    async () => {
      await using davit = await newInstance();
      await davit.output(["run", "--detach", ...creation]);
      const conmons = conmonsOf(davit.instance);
      expect(conmons).toHaveLength(1);
      for (const pid of conmons) process.kill(pid, "SIGKILL");
      const state = await stateOf(davit);
      expect(["running", "exited"]).toContain(state ?? "none");
      if (state === "running") await davit.output(["stop", "--timeout", "0", name]);
      expect(await stateOf(davit)).toBe("exited");
      await useToTheEnd(davit);
    },
    timeout,
  );
});

describe("killed while the end of a container is settled", () => {
  const points: string[] = ["release:rules", "settle:released", "settle:recorded"];

  /** Runs a container whose exit command is killed at `point`, and waits for all of that to have happened. */
  async function runToFaultyExit(
    davit: DavitInstance,
    point: string,
    host: HostConfig,
    script: string,
  ): Promise<void> {
    const { containers } = await davit.engine({ exitFault: point });
    const { Id } = await containers.create(
      { Image: busyboxImage, Cmd: ["sh", "-c", script], Volumes: { "/anonymous": {} }, HostConfig: host },
      { name },
    );
    await containers.start(Id);
    await until(async () => findInKernel(ownershipOf(davit.instance)).processes.length === 0);
    // It was killed there indeed: what comes after the point has not happened.
    const recorded = host.AutoRemove === true ? "removing" : "exited";
    expect(recordedState(davit.instance, name)).toBe(point === "settle:recorded" ? recorded : "running");
  }

  test.each(points)(
    "at %s by conmon's exit command, the exit code is known and all can go on",
    async (point) => {
      await using davit = await newInstance();
      await runToFaultyExit(davit, point, {}, "echo out; exit 7");
      expect(await stateOf(davit)).toBe("exited");
      expect(await davit.output(["wait", name])).toBe("7");
      expect(await davit.output(["inspect", "--format", "{{.State.ExitCode}} {{.State.Pid}}", name])).toBe(
        "7 0",
      );
      expect(await davit.output(["logs", name])).toBe("out");
      expect(await davit.output(["start", "--attach", name]).catch(String)).toContain("exit code 7");
    },
    timeout,
  );

  test.each(points)(
    "at %s by conmon's exit command, a container with --rm goes",
    async (point) => {
      await using davit = await newInstance();
      await runToFaultyExit(davit, point, { AutoRemove: true }, "exit 7");
      await davit.output(["ps"]);
      await until(async () => (await stateOf(davit)) === undefined);
      expect(await davit.output(["volume", "ls", "--quiet"])).toBe("");
    },
    timeout,
  );

  test.each(points)(
    "at %s by conmon's exit command, a restart policy is obeyed",
    async (point) => {
      await using davit = await newInstance();
      const RestartPolicy = { Name: "on-failure", MaximumRetryCount: 1 } as const;
      const { containers } = await davit.engine({ exitFault: point });
      const { Id } = await containers.create(
        { Image: busyboxImage, Cmd: ["sh", "-c", "echo run; exit 7"], HostConfig: { RestartPolicy } },
        { name },
      );
      await containers.start(Id);
      await until(async () => {
        await davit.output(["ps"]);
        return (await davit.output(["logs", name])) === "run\nrun";
      });
      await until(async () => (await stateOf(davit)) === "exited");
      expect(await davit.output(["inspect", "--format", "{{.State.ExitCode}} {{.RestartCount}}", name])).toBe(
        "7 1",
      );
    },
    timeout,
  );

  test.each(points)(
    "at %s by stop",
    async (point) => {
      await using davit = await newInstance();
      await davit.output(["run", "--detach", ...creation]);
      // Whether stop or conmon's exit command gets to settle it is a race; either way it is settled once.
      await davit.run(["stop", "--timeout", "0", name], { env: { DAVIT_FAULT: point } });
      await until(async () => (await stateOf(davit)) === "exited");
      expect(await davit.output(["inspect", "--format", "{{.State.ExitCode}} {{.State.Pid}}", name])).toBe(
        "137 0",
      );
      await useToTheEnd(davit);
    },
    timeout,
  );

  test(
    "the foreground command is killed: the container goes on and its output is kept",
    async () => {
      await using davit = await newInstance();
      const child = davit.spawn([
        "run",
        "--name",
        name,
        "davit-busybox",
        "sh",
        "-c",
        "echo one; sleep 1; echo two; exit 5",
      ]);
      await until(async () => (await davit.run(["logs", name])).stdout.includes("one"));
      child.kill("SIGKILL");
      await child.exited;
      expect(await davit.output(["wait", name])).toBe("5");
      expect(await davit.output(["logs", name])).toBe("one\ntwo");
    },
    timeout,
  );
});

describe("killed during rm", () => {
  const points = [
    "remove:recorded",
    "remove:forgotten",
    "remove:volumes",
    "remove:snapshot",
    "snapshot:condemned",
    "snapshot:destroyed",
  ];

  test.each(points)(
    "at %s of an ended container",
    async (point) => {
      await using davit = await newInstance();
      await davit.output(["create", ...creation]);
      await killAt(davit, point, ["rm", "--volumes", name]);
      const state = await stateOf(davit);
      expect(["created", undefined]).toContain(state);
      if (state !== undefined) await davit.output(["rm", "--volumes", name]);
      expect(await stateOf(davit)).toBeUndefined();
      expect(await davit.output(["volume", "ls", "--quiet"])).toBe("kept");
      await davit.output(["create", ...creation]);
      await useToTheEnd(davit);
    },
    timeout,
  );

  test.each(points)(
    "at %s of a running container, by force",
    async (point) => {
      await using davit = await newInstance();
      await davit.output(["run", "--detach", ...creation]);
      await killAt(davit, point, ["rm", "--force", "--volumes", name]);
      const state = await stateOf(davit);
      expect(["running", "exited", undefined]).toContain(state);
      if (state !== undefined) await davit.output(["rm", "--force", "--volumes", name]);
      expect(await stateOf(davit)).toBeUndefined();
      expect(await davit.output(["volume", "ls", "--quiet"])).toBe("kept");
    },
    timeout,
  );
});

describe("killed during load", () => {
  test.each([
    "snapshot:reserved",
    "snapshot:made",
    "load:applied",
    "snapshot:committed",
    "load:unpacked",
    "load:synced",
    "load:recorded",
  ])(
    "at %s, the image is there or not, and loads again",
    async (point: string) => {
      await using davit = await newInstance({ busybox: false });
      await killAt(davit, point, ["load", "--input", await busyboxArchive()]);
      const listed = await davit.output(["images", "--format", "{{.Repository}}"]);
      expect(["", "davit-busybox"]).toContain(listed);
      await davit.loadBusybox();
      expect(await davit.output(["run", "--rm", "davit-busybox", "echo", "works"])).toBe("works");
    },
    timeout,
  );
});
