import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StartFailure } from "../../src/core/errors.ts";
import { execStatus, startDetachedExec } from "../../src/runtime/exec.ts";
import { resolveUser } from "../../src/runtime/users.ts";
import { Box, collect, runExec, unpackRoot } from "./box.ts";

let root: ReturnType<typeof unpackRoot>;
beforeAll(() => {
  root = unpackRoot();
  writeFileSync(join(root.path, "not-executable"), "", { mode: 0o644 });
});
afterAll(() => root.remove());

const shell = (script: string) => ["sh", "-c", script];

for (const runtime of ["crun", "runc"] as const) {
  const sleeper = async () => {
    const box = await Box.create({
      rootfs: root.path,
      runtime,
      args: ["sleep", "100"],
      config: { User: "user", Env: ["A=b"] },
    });
    await box.start();
    return box;
  };

  describe(`an exec under ${runtime}`, () => {
    test("gives its streams apart, and its exit code", async () => {
      await using box = await sleeper();
      const outcome = await runExec(await box.exec(shell("echo out; echo err >&2; exit 9")));
      expect(outcome).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 9 });
    });

    test("has the container's user, environment and filter, or those it asks for", async () => {
      await using box = await sleeper();
      const script = shell("id -un; echo $A $B; pwd; grep -E '^(CapEff|Seccomp):' /proc/self/status");
      const plain = await runExec(await box.exec(script));
      expect(plain.stdout).toBe("user\nb\n/\nCapEff:\t0000000000000000\nSeccomp:\t2\n");
      const asked = await runExec(
        await box.exec(script, { env: ["B=c"], cwd: "/tmp", user: resolveUser(root.path, "root") }),
      );
      expect(asked.stdout).toBe("root\nb c\n/tmp\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n");
    });

    test("reads its stdin to the end that the client sets", async () => {
      await using box = await sleeper();
      const running = await box.exec(["cat"], { stdin: true });
      await running.streams.write(Buffer.from("hello"));
      await running.streams.closeInput();
      expect(await runExec(running)).toEqual({ stdout: "hello", stderr: "", exitCode: 0 });
    });

    test("with a terminal has its size and can be resized", async () => {
      await using box = await sleeper();
      const running = await box.exec(
        // crun sets the size when the program may run already; the program then hears of it as of a change.
        shell(
          "until [ -n \"$(stty size 2>&-)\" ]; do sleep 0.01; done; stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done",
        ),
        { tty: true, stdin: true, consoleSize: { height: 33, width: 77 } },
      );
      let text = "";
      for await (const frame of running.streams.output) {
        const had = text.includes("ready");
        text += Buffer.from(frame.data).toString("utf8");
        if (!had && text.includes("ready")) running.resize({ height: 20, width: 60 });
      }
      expect(text).toBe("33 77\r\nready\r\n20 60\r\n");
      expect(await running.exited).toBe(3);
    });

    test.each([
      ["nosuch", 127, 'exec: "nosuch": executable file not found in $PATH: unknown'],
      ["/not-executable", 126, 'exec: "/not-executable": permission denied: unknown'],
    ])("that cannot run %s fails with %i and Docker's words", async (program, exitCode, words) => {
      await using box = await sleeper();
      for (const tty of [false, true]) {
        const error = await box.exec([program], { tty }).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (!(error instanceof StartFailure)) throw new Error(`not refused: ${error}`);
        expect(error.exitCode).toBe(exitCode);
        expect(error.message).toBe(
          `OCI runtime exec failed: exec failed: unable to start container process: ${words}`,
        );
      }
    });

    test("that nobody is attached to leaves its exit code", async () => {
      await using box = await sleeper();
      const launch = await box.execLaunch(shell("while ! [ -e /tmp/go ]; do sleep 0.02; done; exit 6"), {
        attached: false,
      });
      const { pid } = await startDetachedExec(launch);
      expect(execStatus(launch.directory)).toEqual({ running: true, pid });
      const go = await box.exec(["touch", "/tmp/go"]);
      await go.exited;
      let status = execStatus(launch.directory);
      while (status.running) {
        await Bun.sleep(1);
        status = execStatus(launch.directory);
      }
      expect(status).toEqual({ running: false, exitCode: 6 });
      await (await box.exec(["rm", "/tmp/go"])).exited;
    });

    test("has not ended before its conmon has said how, or is gone", async () => {
      await using box = await sleeper();
      const launch = await box.execLaunch(["sleep", "100"], { attached: false });
      const { pid } = await startDetachedExec(launch);
      const child = Bun.spawn(["true"]);
      await child.exited;
      const directory = join(box.directory, "process-gone");
      mkdirSync(directory);
      writeFileSync(join(directory, "pid"), String(child.pid));
      copyFileSync(join(launch.directory, "conmon.pid"), join(directory, "conmon.pid"));
      expect(execStatus(directory)).toEqual({ running: true, pid: child.pid });
      process.kill(pid, "SIGKILL");
      while (execStatus(launch.directory).running) await Bun.sleep(1);
      expect(execStatus(launch.directory)).toEqual({ running: false, exitCode: 137 });
      while (execStatus(directory).running) await Bun.sleep(1);
      expect(execStatus(directory)).toEqual({ running: false, exitCode: undefined });
      writeFileSync(join(directory, "exit"), "3");
      expect(execStatus(directory)).toEqual({ running: false, exitCode: 3 });
    });

    test("goes on when its client leaves", async () => {
      await using box = await sleeper();
      const running = await box.exec(shell("read line; echo lost; echo kept > /tmp/kept; exit 2"), {
        stdin: true,
        tty: true,
      });
      await running.streams.write(Buffer.from("go\n"));
      running.streams.close();
      expect(await running.exited).toBe(2);
      const kept = await box.exec(["cat", "/tmp/kept"]);
      expect((await collect(kept.streams)).stdout).toBe("kept\n");
      await (await box.exec(["rm", "/tmp/kept"])).exited;
    });
  });
}
