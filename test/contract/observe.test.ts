/** Looking at what runs: top, stats, events, version and info. */
import { expect, test } from "bun:test";
import type { ContainerStats, EventMessage } from "../../src/core/objects.ts";
import { busyboxImage } from "../harness/images.ts";
import { contract, eventually, expectFailure, uniqueName } from "./subjects.ts";

contract("top", (subject) => {
  test("it lists the processes as ps on the host does", async () => {
    await using container = await subject.start(["sh", "-c", "sleep 654 & sleep 653; true"]);
    const rows = await eventually(async () => {
      const { Titles, Processes } = await subject.engine.containers.top(container.id);
      expect(Titles).toEqual(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
      // A child that was forked has its parent's words until it is the program that it is to be.
      return Processes.filter((row) => row.at(-1)?.startsWith("sleep")).length === 2 ? Processes : undefined;
    });
    expect(rows.map((row) => row.at(-1)).toSorted()).toEqual([
      "sh -c sleep 654 & sleep 653; true",
      "sleep 653",
      "sleep 654",
    ]);
    for (const row of rows) {
      expect(row).toHaveLength(8);
      expect(row[1]).toMatch(/^\d+$/);
    }
  });

  test("it takes arguments of ps", async () => {
    await using container = await subject.start(["sleep", "652"]);
    const commands = await eventually(async () => {
      const { Titles, Processes } = await subject.engine.containers.top(container.id, "-o pid,args");
      expect(Titles).toEqual(["PID", "COMMAND"]);
      const words = Processes.map((row) => row[1]);
      // In the middle of an exec a process has no arguments: then ps gives its name in brackets.
      return words.some((command) => command?.startsWith("[")) ? undefined : words;
    });
    expect(commands).toEqual(["sleep 652"]);
  });

  test("it needs a container that runs", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    await expectFailure(
      subject.engine.containers.top(container.id),
      "conflict",
      `container ${container.id} is not running`,
      `Container ${container.id} is not running`,
    );
  });
});

contract("stats", (subject) => {
  const sampleOf = async (id: string, options = {}): Promise<ContainerStats> => {
    for await (const sample of subject.engine.containers.stats(id, options)) return sample;
    throw new Error("no sample");
  };

  test("one sample tells CPU, memory, processes and network", async () => {
    const name = uniqueName();
    await using container = await subject.start(
      ["sh", "-c", "x=$(head -c 3000000 /dev/zero | tr '\\0' x); sleep 600; true"],
      {
        name,
        HostConfig: { Memory: 64 << 20, PidsLimit: 33 },
      },
    );
    const sample = await eventually(async () => {
      const taken = await sampleOf(container.id, { oneShot: true });
      return (taken.memory_stats.usage ?? 0) > 3_000_000 && taken.pids_stats.current === 2
        ? taken
        : undefined;
    });
    expect([sample.id, sample.name]).toEqual([container.id, `/${name}`]);
    expect(sample.cpu_stats.cpu_usage.total_usage).toBeGreaterThan(0);
    expect(sample.cpu_stats.system_cpu_usage).toBeGreaterThan(0);
    expect(sample.cpu_stats.online_cpus).toBe(navigator.hardwareConcurrency);
    expect(sample.memory_stats.limit).toBe(64 << 20);
    expect(sample.memory_stats.usage).toBeLessThan(64 << 20);
    expect(sample.pids_stats).toMatchObject({ current: 2, limit: 33 });
    expect(Object.keys(sample.networks ?? {})).toEqual(["eth0"]);
    expect(typeof sample.networks?.eth0?.rx_bytes).toBe("number");
    expect(Math.abs(Date.parse(sample.read) - Date.now())).toBeLessThan(60_000);
  });

  test("without one-shot there is a sample before it to compare with", async () => {
    await using container = await subject.start(["sh", "-c", "while :; do :; done"]);
    const sample = await sampleOf(container.id);
    expect(sample.precpu_stats.system_cpu_usage).toBeGreaterThan(0);
    expect(sample.cpu_stats.system_cpu_usage ?? 0).toBeGreaterThan(sample.precpu_stats.system_cpu_usage ?? 0);
    expect(sample.cpu_stats.cpu_usage.total_usage).toBeGreaterThan(sample.precpu_stats.cpu_usage.total_usage);
  });

  test("as a stream they keep coming until they are given up", async () => {
    await using container = await subject.start(["sleep", "600"]);
    const controller = new AbortController();
    let samples = 0;
    try {
      for await (const sample of subject.engine.containers.stats(container.id, {
        stream: true,
        signal: controller.signal,
      })) {
        expect(sample.id).toBe(container.id);
        samples += 1;
        if (samples === 2) controller.abort();
      }
    } catch (error) {
      if (!controller.signal.aborted) throw error;
    }
    expect(samples).toBe(2);
  });

  test("of what does not run they are empty", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    const sample = await sampleOf(container.id, { oneShot: true });
    expect(sample.memory_stats.usage).toBeUndefined();
    expect(sample.cpu_stats.cpu_usage.total_usage).toBe(0);
  });

  test("of what is not there there are none", async () => {
    await expectFailure(sampleOf("nope"), "notFound", "No such container: nope");
  });
});

contract("events", (subject) => {
  const until = (): number => Date.now() / 1000;

  async function eventsSince(since: number, filters: Record<string, string[]>): Promise<EventMessage[]> {
    const events: EventMessage[] = [];
    for await (const event of subject.engine.system.events({ since, until: until(), filters }))
      events.push(event);
    return events;
  }

  test("the life of a container is told in order", async () => {
    const since = until() - 0.001;
    const name = uniqueName();
    {
      await using container = await subject.start(["sh", "-c", "exit 3"], { name, Labels: { role: "web" } });
      await subject.exitCodeOf(container.id);
      await subject.engine.containers.rename(name, `${name}-new`);
      await subject.engine.containers.remove(container.id);
      const events = await eventually(async () => {
        const found = await eventsSince(since, { container: [container.id], type: ["container"] });
        return found.some(({ Action }) => Action === "destroy") ? found : undefined;
      });
      expect(events.map(({ Action }) => Action)).toEqual(["create", "start", "die", "rename", "destroy"]);
      const die = events.find(({ Action }) => Action === "die");
      expect(die).toMatchObject({ Type: "container", scope: "local" });
      expect(die?.Actor.ID).toBe(container.id);
      expect(die?.Actor.Attributes).toMatchObject({ name, image: busyboxImage, exitCode: "3", role: "web" });
      expect(events[3]?.Actor.Attributes).toMatchObject({ name: `${name}-new`, oldName: `/${name}` });
      expect(Math.abs((die?.time ?? 0) - Date.now() / 1000)).toBeLessThan(120);
      expect(Math.floor((die?.timeNano ?? 0) / 1e9)).toBe(die?.time ?? -1);
    }
  });

  test("signals, pauses and execs are told, too", async () => {
    const since = until() - 0.001;
    await using container = await subject.start(["sleep", "600"]);
    const { containers } = subject.engine;
    await containers.pause(container.id);
    await containers.unpause(container.id);
    await subject.exec(container.id, ["true"]);
    await containers.stop(container.id, { timeout: 0 });
    const events = await eventually(async () => {
      const found = await eventsSince(since, { container: [container.id], type: ["container"] });
      const ended = ["die", "stop"].every((action) => found.some(({ Action }) => Action === action));
      return ended ? found : undefined;
    });
    const actions = events.map(({ Action }) => Action.replace(/: .*/, ":"));
    for (const action of [
      "create",
      "start",
      "pause",
      "unpause",
      "exec_create:",
      "exec_start:",
      "kill",
      "die",
      "stop",
    ]) {
      expect(actions).toContain(action);
    }
  });

  test("they can be followed as they happen, by filter", async () => {
    const name = uniqueName();
    const controller = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      for await (const { Action, Actor } of subject.engine.system.events({
        filters: { event: ["start", "die"], type: ["container"] },
        signal: controller.signal,
      })) {
        if (Actor.Attributes.name === name) seen.push(Action);
        if (Action === "die" && Actor.Attributes.name === name) return;
      }
    })();
    await Bun.sleep(200);
    await using container = await subject.start(["true"], { name });
    await subject.exitCodeOf(container.id);
    await following;
    controller.abort();
    expect(seen).toEqual(["start", "die"]);
  });

  test("images and volumes have events", async () => {
    const since = until() - 0.001;
    const name = uniqueName("event");
    await subject.engine.images.tag(busyboxImage, name);
    await subject.engine.images.remove(name);
    await subject.engine.volumes.create({ Name: name });
    await subject.engine.volumes.remove(name);
    const told = await eventually(async () => {
      const events = await eventsSince(since, { type: ["image", "volume"] });
      const lines = events.map(({ Type, Action }) => `${Type} ${Action}`);
      return lines.includes("volume destroy") ? lines : undefined;
    });
    for (const expected of ["image tag", "image untag", "volume create", "volume destroy"]) {
      expect(told).toContain(expected);
    }
  });
});

contract("the engine itself", (subject) => {
  test("it tells its version", async () => {
    const { system } = subject.engine;
    expect(await system.ping()).toMatch(/^1\.\d+$/);
    const version = await system.version();
    expect(version.ApiVersion).toBe(await system.ping());
    expect(version.Os).toBe("linux");
    expect(version.Version.length).toBeGreaterThan(0);
    expect(version.KernelVersion.length).toBeGreaterThan(0);
    expect(version.Components.some(({ Name }) => Name === "Engine")).toBe(true);
  });

  test("it counts what it has", async () => {
    const before = await subject.engine.system.info();
    await using created = await subject.create();
    await using running = await subject.start(["sleep", "600"]);
    await using paused = await subject.start(["sleep", "600"]);
    await subject.engine.containers.pause(paused.id);
    const after = await subject.engine.system.info();
    expect([created.id, running.id, paused.id].every((id) => id.length === 64)).toBe(true);
    expect({
      all: after.Containers - before.Containers,
      running: after.ContainersRunning - before.ContainersRunning,
      paused: after.ContainersPaused - before.ContainersPaused,
      stopped: after.ContainersStopped - before.ContainersStopped,
    }).toEqual({ all: 3, running: 1, paused: 1, stopped: 1 });
    expect(after).toMatchObject({
      Images: 1,
      Driver: "overlay2",
      OSType: "linux",
      NCPU: navigator.hardwareConcurrency,
    });
    expect(after.MemTotal).toBeGreaterThan(100_000_000);
  });
});
