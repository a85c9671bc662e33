/** Restart policies. */
import { expect, test } from "bun:test";
import type { ContainerInspect } from "../../src/core/objects.ts";
import { caseTimeout, contract, eventually, until } from "./subjects.ts";

contract("restart policies", (subject) => {
  const inspect = (id: string): Promise<ContainerInspect> => subject.engine.containers.inspect(id);
  const runs = async (id: string): Promise<number> =>
    (await subject.logsOf(id)).stdout.split("\n").filter((line) => line === "run").length;

  test("no: an ended container stays ended", async () => {
    await using container = await subject.start(["sh", "-c", "echo run; exit 1"]);
    await subject.exitCodeOf(container.id);
    await Bun.sleep(500);
    expect((await inspect(container.id)).State.Status).toBe("exited");
    expect(await runs(container.id)).toBe(1);
  });

  test(
    "on-failure:2 tries twice more and gives up",
    async () => {
      await using container = await subject.start(["sh", "-c", "echo run; exit 5"], {
        HostConfig: { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 2 } },
      });
      const ended = await eventually(async () => {
        const inspected = await inspect(container.id);
        return inspected.State.Status === "exited" && inspected.RestartCount === 2 ? inspected : undefined;
      });
      expect(ended.State).toMatchObject({ ExitCode: 5, Running: false, Restarting: false });
      expect(await runs(container.id)).toBe(3);
    },
    caseTimeout,
  );

  test("on-failure leaves a success alone", async () => {
    await using container = await subject.start(["sh", "-c", "echo run"], {
      HostConfig: { RestartPolicy: { Name: "on-failure" } },
    });
    await until(async () => (await inspect(container.id)).State.Status === "exited");
    await Bun.sleep(300);
    expect(await runs(container.id)).toBe(1);
    expect((await inspect(container.id)).RestartCount).toBe(0);
  });

  test.each(["always", "unless-stopped"] as const)(
    "%s: it runs again and again, until it is stopped",
    async (Name) => {
      await using container = await subject.start(["sh", "-c", "echo run; sleep 0.2"], {
        HostConfig: { RestartPolicy: { Name } },
      });
      await until(async () => (await runs(container.id)) >= 3);
      expect((await inspect(container.id)).RestartCount).toBeGreaterThanOrEqual(2);
      await subject.engine.containers.stop(container.id, { timeout: 5 }).catch(async (error: unknown) => {
        // It may be between two runs just then.
        if (!String(error).includes("is not running")) throw error;
      });
      const stopped = await eventually(async () => {
        const inspected = await inspect(container.id);
        return inspected.State.Status === "exited" ? inspected : undefined;
      });
      const count = await runs(container.id);
      await Bun.sleep(1200);
      expect(await runs(container.id)).toBe(count);
      expect((await inspect(container.id)).RestartCount).toBe(stopped.RestartCount);
    },
    caseTimeout,
  );

  test("always: what was killed from outside runs again only when it was not asked to end", async () => {
    await using container = await subject.start(["sleep", "600"], {
      HostConfig: { RestartPolicy: { Name: "always" } },
    });
    const before = await inspect(container.id);
    // Signals sent through the engine count as being asked.
    await subject.engine.containers.kill(container.id);
    await until(async () => (await inspect(container.id)).State.Status === "exited");
    await Bun.sleep(500);
    const after = await inspect(container.id);
    expect(after.State.Status).toBe("exited");
    expect(after.RestartCount).toBe(before.RestartCount);
  });

  test("a restarted container keeps its files, mounts and network", async () => {
    await using container = await subject.start(
      [
        "sh",
        "-c",
        "echo x >> /count; echo y >> /data/count; wc -l < /count; wc -l < /data/count; test -d /sys/class/net/eth0 && echo run; sleep 0.2; exit 1",
      ],
      {
        Volumes: { "/data": {} },
        HostConfig: { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 } },
      },
    );
    await until(async () => {
      const { State, RestartCount } = await inspect(container.id);
      return State.Status === "exited" && RestartCount === 1;
    });
    expect((await subject.logsOf(container.id)).stdout.replace(/ /g, "")).toBe("1\n1\nrun\n2\n2\nrun\n");
  });

  test("starting it by hand begins the count anew", async () => {
    await using container = await subject.start(["sh", "-c", "exit 3"], {
      HostConfig: { RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 } },
    });
    const given = async (): Promise<void> =>
      until(async () => {
        const { State, RestartCount } = await inspect(container.id);
        return State.Status === "exited" && RestartCount === 1;
      });
    await given();
    await subject.engine.containers.start(container.id);
    await given();
    expect((await inspect(container.id)).State.ExitCode).toBe(3);
  });

  test("removing by force ends the restarting", async () => {
    await using container = await subject.start(["sh", "-c", "exit 1"], {
      HostConfig: { RestartPolicy: { Name: "always" } },
    });
    await until(async () => (await inspect(container.id)).RestartCount >= 1);
    await subject.engine.containers.remove(container.id, { force: true });
    await Bun.sleep(500);
    const rows = await subject.engine.containers.list({ all: true });
    expect(rows.map((row) => row.Id)).not.toContain(container.id);
  });
});
