/** Commands in running containers. */
import { expect, test } from "bun:test";
import { cannotGrantAllCapabilities, ownCapabilities } from "./machine.ts";
import { collect, contract, eventually, expectFailure, readUntil } from "./subjects.ts";

contract("exec", (subject) => {
  const idle = ["sleep", "600"];

  test("a command runs in the container and its output and exit code come back", async () => {
    await using container = await subject.start(["sh", "-c", "echo mark > /mark; sleep 600"], {
      Hostname: "inside",
    });
    await eventually(
      async () => (await subject.exec(container.id, ["cat", "/mark"])).code === 0 || undefined,
    );
    const outcome = await subject.exec(container.id, ["sh", "-c", "cat /mark; hostname >&2; exit 9"]);
    expect(outcome).toEqual({ code: 9, stdout: "mark\n", stderr: "inside\n" });
  });

  test.each([0, 1, 42, 255])("exit code %d comes through", async (code) => {
    await using container = await subject.start(idle);
    expect((await subject.exec(container.id, ["sh", "-c", `exit ${code}`])).code).toBe(code);
  });

  test("death by signal is 128 + n", async () => {
    await using container = await subject.start(idle);
    expect((await subject.exec(container.id, ["sh", "-c", "kill -9 $$"])).code).toBe(137);
  });

  test("it joins the container's processes", async () => {
    await using container = await subject.start(idle);
    const { stdout } = await subject.exec(container.id, ["sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"]);
    expect(stdout).toBe("sleep 600 ");
  });

  test("stdin goes in and its end is seen", async () => {
    await using container = await subject.start(idle);
    const outcome = await subject.exec(container.id, ["sh", "-c", "cat; echo end"], {}, "hello\n");
    expect(outcome).toEqual({ code: 0, stdout: "hello\nend\n", stderr: "" });
  });

  test("a megabyte goes through stdin and back", async () => {
    await using container = await subject.start(idle);
    const input = "fedcba9876543210".repeat(1 << 16);
    const outcome = await subject.exec(container.id, ["cat"], {}, input);
    expect(outcome.stdout === input).toBe(true);
  });

  test("without stdin it reads the end at once", async () => {
    await using container = await subject.start(idle);
    expect((await subject.exec(container.id, ["sh", "-c", "cat; echo end"])).stdout).toBe("end\n");
  });

  test("the container's environment holds, with the exec's own on top", async () => {
    await using container = await subject.start(idle, { Env: ["KEPT=1", "CHANGED=old"] });
    const { stdout } = await subject.exec(container.id, ["sh", "-c", "echo $KEPT $CHANGED $ADDED"], {
      Env: ["CHANGED=new", "ADDED=2"],
    });
    expect(stdout).toBe("1 new 2\n");
  });

  test("it starts in the container's directory, or in its own", async () => {
    await using container = await subject.start(idle, { WorkingDir: "/var" });
    expect((await subject.exec(container.id, ["pwd"])).stdout).toBe("/var\n");
    expect((await subject.exec(container.id, ["pwd"], { WorkingDir: "/etc" })).stdout).toBe("/etc\n");
  });

  test("it runs as the container's user, or as its own, by name or number", async () => {
    await using container = await subject.start(idle, { User: "daemon" });
    const who = async (User?: string): Promise<string> =>
      (
        await subject.exec(
          container.id,
          ["sh", "-c", "echo $(id -u):$(id -g):$HOME"],
          User === undefined ? {} : { User },
        )
      ).stdout;
    expect(await who()).toBe("1:1:/\n");
    expect(await who("user")).toBe("1000:1000:/home/user\n");
    expect(await who("root")).toBe("0:0:/root\n");
    expect(await who("1234:50")).toBe("1234:50:/\n");
  });

  test("it has the container's capabilities", async () => {
    await using container = await subject.start(idle);
    const { stdout } = await subject.exec(container.id, ["grep", "CapEff", "/proc/self/status"]);
    expect(stdout).toBe("CapEff:\t00000000a80425fb\n");
  });

  test.skipIf(cannotGrantAllCapabilities(subject))(
    "privileged gives all capabilities there are",
    async () => {
      await using container = await subject.start(idle);
      const { stdout } = await subject.exec(container.id, ["grep", "CapEff", "/proc/self/status"], {
        Privileged: true,
      });
      expect(stdout).toBe(`CapEff:\t${ownCapabilities()}\n`);
    },
  );

  test("with a TTY it has a terminal of its own", async () => {
    await using container = await subject.start(idle);
    const outcome = await subject.exec(
      container.id,
      ["sh", "-c", "test -t 0 && test -t 1 && echo tty; echo err >&2"],
      {
        Tty: true,
        AttachStdin: true,
      },
    );
    expect(outcome).toEqual({ code: 0, stdout: "tty\r\nerr\r\n", stderr: "" });
  });

  test("its terminal learns of a new size", async () => {
    await using container = await subject.start(idle);
    const { execs } = subject.engine;
    const { Id } = await execs.create(container.id, {
      Cmd: ["sh", "-c", "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done"],
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Tty: true,
    });
    const streams = await execs.start(Id, { tty: true, stdin: true });
    const output = streams.output[Symbol.asyncIterator]();
    await readUntil(output, "up");
    await execs.resize(Id, { width: 101, height: 33 });
    expect(await readUntil(output, "33 101")).toContain("33 101");
    streams.close();
  });

  test("detached, it runs on its own, and can be looked at", async () => {
    await using container = await subject.start(idle);
    const { execs } = subject.engine;
    const { Id } = await execs.create(container.id, {
      Cmd: ["sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; exit 8"],
    });
    expect(Id).toMatch(/^[0-9a-f]{64}$/);
    expect(await execs.inspect(Id)).toMatchObject({
      ID: Id,
      Running: false,
      ExitCode: null,
      ContainerID: container.id,
    });
    await execs.startDetached(Id);
    const running = await execs.inspect(Id);
    expect(running).toMatchObject({ Running: true, ExitCode: null, OpenStdin: false });
    expect(running.Pid).toBeGreaterThan(0);
    expect(running.ProcessConfig).toMatchObject({ tty: false, entrypoint: "sh", privileged: false });
    expect((await subject.engine.containers.inspect(container.id)).ExecIDs).toEqual([Id]);
    await subject.exec(container.id, ["touch", "/go"]);
    const code = await eventually(async () => (await execs.inspect(Id)).ExitCode ?? undefined);
    expect(code).toBe(8);
    expect((await execs.inspect(Id)).Running).toBe(false);
  });

  test("closing the connection leaves the command running", async () => {
    await using container = await subject.start(idle);
    const { execs } = subject.engine;
    const { Id } = await execs.create(container.id, {
      Cmd: ["sh", "-c", "echo up; sleep 0.5; echo x > /done; sleep 60"],
      AttachStdout: true,
    });
    const streams = await execs.start(Id, {});
    await readUntil(streams.output[Symbol.asyncIterator](), "up");
    streams.close();
    await eventually(
      async () => (await subject.exec(container.id, ["cat", "/done"])).code === 0 || undefined,
    );
    expect((await execs.inspect(Id)).Running).toBe(true);
  });

  test("many at once each get their own output", async () => {
    await using container = await subject.start(idle);
    const outcomes = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((n) => subject.exec(container.id, ["sh", "-c", `echo ${n}; exit ${n}`])),
    );
    expect(outcomes).toEqual([1, 2, 3, 4, 5, 6].map((n) => ({ code: n, stdout: `${n}\n`, stderr: "" })));
  });

  test("a command that does not exist is exit code 127 or 126, said on its output", async () => {
    await using container = await subject.start(idle);
    const outcome = await subject.exec(container.id, ["no-such-command"]);
    // dockerd 20.10 says 126 here, Docker 28 says 127.
    expect([126, 127]).toContain(outcome.code);
    expect(outcome.stdout + outcome.stderr).toContain("executable file not found in $PATH");
  });

  test("a command that may not be executed is exit code 126", async () => {
    await using container = await subject.start(idle);
    const outcome = await subject.exec(container.id, ["/etc/passwd"]);
    expect(outcome.code).toBe(126);
    expect(outcome.stdout + outcome.stderr).toContain("permission denied");
  });

  test("the container's end ends it", async () => {
    await using container = await subject.start(idle);
    const { execs, containers } = subject.engine;
    const { Id } = await execs.create(container.id, {
      Cmd: ["sh", "-c", "echo up; sleep 600"],
      AttachStdout: true,
    });
    const streams = await execs.start(Id, {});
    const output = streams.output[Symbol.asyncIterator]();
    await readUntil(output, "up");
    await containers.kill(container.id);
    expect((await output.next()).done).toBe(true);
  });

  test("it needs a container that runs", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    await expectFailure(
      subject.engine.execs.create(container.id, { Cmd: ["true"] }),
      "conflict",
      `container ${container.id} is not running`,
      `Container ${container.id} is not running`,
    );
    await expectFailure(
      subject.engine.execs.create("nope", { Cmd: ["true"] }),
      "notFound",
      "No such container: nope",
    );
  });

  test("it needs a container that is not paused", async () => {
    await using container = await subject.start(idle);
    await subject.engine.containers.pause(container.id);
    await expectFailure(
      subject.engine.execs.create(container.id, { Cmd: ["true"] }),
      "conflict",
      `container ${container.id} is paused, unpause the container before exec`,
      `Container ${container.id} is paused, unpause the container before exec`,
    );
  });

  test("it needs a command", async () => {
    await using container = await subject.start(idle);
    await expectFailure(
      subject.engine.execs.create(container.id, { Cmd: [] }),
      "invalid",
      "No exec command specified",
    );
  });

  test("an unknown exec is not found", async () => {
    await expectFailure(subject.engine.execs.inspect("nope"), "notFound", "No such exec instance: nope");
    await expectFailure(subject.engine.execs.start("nope", {}), "notFound", "No such exec instance: nope");
  });

  test("it starts once", async () => {
    await using container = await subject.start(idle);
    const { execs } = subject.engine;
    const { Id } = await execs.create(container.id, { Cmd: ["true"], AttachStdout: true });
    await collect((await execs.start(Id, {})).output);
    await eventually(async () => (await execs.inspect(Id)).ExitCode ?? undefined);
    const again = await execs.start(Id, {}).then(
      async (streams) => (await collect(streams.output)).stdout,
      (error: Error) => error.message,
    );
    expect(again).toContain("has already run");
  });
});
