import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { StartFailure } from "../../src/core/errors.ts";
import { openProcess, startTimeOf } from "../../src/linux/processes.ts";
import { reopenLog, resizeTerminal } from "../../src/runtime/attach.ts";
import { containerPids, controllerDirectory, isFrozen, wasOomKilled } from "../../src/runtime/cgroups.ts";
import { freezeContainer } from "../../src/runtime/freeze.ts";
import { readLog } from "../../src/runtime/logs.ts";
import { containerState, killContainer, resumeContainer } from "../../src/runtime/runtimes.ts";
import { findInit } from "../../src/runtime/spec.ts";
import { readStats } from "../../src/runtime/stats.ts";
import { Box, type BoxOptions, collect, runBox, runExec, searchPath, unpackRoot } from "./box.ts";

let root: ReturnType<typeof unpackRoot>;
beforeAll(() => {
  root = unpackRoot();
  writeFileSync(join(root.path, "not-executable"), "#!/bin/sh\n", { mode: 0o644 });
  mkdirSync(join(root.path, "directory"));
});
afterAll(() => root.remove());

const shell = (script: string) => ["sh", "-c", script];

for (const runtime of ["crun", "runc"] as const) {
  const options = (args: readonly string[], more: Partial<BoxOptions> = {}): BoxOptions => ({
    rootfs: root.path,
    runtime,
    args,
    ...more,
  });

  describe(`a container under ${runtime}`, () => {
    test("gives its two streams apart, and its exit code", async () => {
      const outcome = await runBox(options(shell("echo out; echo err >&2; exit 7")));
      expect(outcome).toMatchObject({ stdout: "out\n", stderr: "err\n", exitCode: 7 });
    });

    test("that is killed by a signal has 128 and the signal as its code", async () => {
      await using box = await Box.create(options(["sleep", "100"]));
      await box.start();
      await killContainer(box.runtime, box.id, 9);
      expect((await box.ended()).exitCode).toBe(137);
    });

    test("loses nothing of a large output, live and in the log", async () => {
      const size = 8_000_000;
      await using box = await Box.create(
        options(shell(`head -c ${size} /dev/urandom | tee /dev/stderr | md5sum`)),
      );
      const streams = await box.attach();
      await box.start();
      const live = createHash("md5");
      let sum = "";
      let frames = 0;
      for await (const frame of streams.output) {
        if (frame.stream === "stderr") live.update(frame.data);
        else sum += Buffer.from(frame.data).toString("utf8");
        // Falls behind now and then, so that the reader's queue fills.
        frames += 1;
        if (frames % 200 === 0) await Bun.sleep(20);
      }
      await box.ended();
      const logged = createHash("md5");
      for await (const frame of readLog(box.logPath, { stdout: false, stderr: true }))
        logged.update(frame.data);
      const wanted = sum.split(" ")[0] ?? "";
      expect(wanted).toMatch(/^[0-9a-f]{32}$/);
      expect(live.digest("hex")).toBe(wanted);
      expect(logged.digest("hex")).toBe(wanted);
    });

    test("reads its stdin to the end that the client sets", async () => {
      const input = Buffer.from(crypto.getRandomValues(new Uint8Array(65_000)));
      const large = Buffer.concat(Array.from({ length: 20 }, () => input));
      const outcome = await runBox(
        options(["md5sum"], { config: { OpenStdin: true, StdinOnce: true } }),
        large,
      );
      expect(outcome.stdout.split(" ")[0]).toBe(createHash("md5").update(large).digest("hex"));
    });

    test("refuses input once it has ended", async () => {
      await using box = await Box.create(options(["true"], { config: { OpenStdin: true, StdinOnce: true } }));
      const streams = await box.attach();
      await box.start();
      await collect(streams);
      await expect(streams.write(new Uint8Array(10))).rejects.toThrow("broken pipe");
    });

    test("with a terminal has the size that the client gives, and hears of changes", async () => {
      await using box = await Box.create(
        options(
          shell("stty size; trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.05; done"),
          {
            config: { Tty: true, OpenStdin: true },
          },
        ),
      );
      const streams = await box.attach();
      resizeTerminal(box.bundle, { height: 40, width: 100 });
      // conmon takes the size from its fifo in its own time; the container begins after that.
      await Bun.sleep(100);
      await box.start();
      let text = "";
      for await (const frame of streams.output) {
        expect(frame.stream).toBe("stdout");
        const had = text.includes("ready");
        text += Buffer.from(frame.data).toString("utf8");
        if (!had && text.includes("ready")) resizeTerminal(box.bundle, { height: 50, width: 120 });
      }
      expect(text).toBe("40 100\r\nready\r\n50 120\r\n");
      expect((await box.ended()).exitCode).toBe(5);
    });

    test.each([
      ["nosuch", 127, 'exec: "nosuch": executable file not found in $PATH: unknown'],
      ["/nosuch", 127, 'exec: "/nosuch": stat /nosuch: no such file or directory: unknown'],
      ["/not-executable", 126, 'exec: "/not-executable": permission denied: unknown'],
      ["/directory", 126, 'exec: "/directory": permission denied: unknown'],
    ])("that cannot run %s fails with %i and Docker's words", async (program, exitCode, words) => {
      for (const Tty of [false, true]) {
        const error = await Box.create(options([program], { config: { Tty } })).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (!(error instanceof StartFailure)) throw new Error(`not refused: ${error}`);
        expect(error.exitCode).toBe(exitCode);
        expect(error.message).toMatch(
          /^failed to create task for container: failed to create shim task: OCI runtime create failed: /,
        );
        expect(error.message).toEndWith(words);
      }
    });

    test("has Docker's capabilities, a seccomp filter and no namespaces to make", async () => {
      const { stdout, stderr } = await runBox(
        options(shell("grep -E '^(CapEff|CapBnd|CapInh|Seccomp):' /proc/self/status; unshare -m true")),
      );
      expect(stdout).toBe(
        "CapInh:\t0000000000000000\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n",
      );
      expect(stderr).toContain("Operation not permitted");
    });

    test("that follows another with the same profile is filtered as that one", async () => {
      const looks = shell("unshare -m true; grep ^Seccomp /proc/self/status; sleep 100");
      const expected = "Seccomp:\t2\nSeccomp_filters:\t1\n";
      await using first = await Box.create(options(["sleep", "100"]));
      await using second = await Box.create(options(looks, { beside: first }));
      // Under crun the first one's compiled filter serves the second, which cannot tell the difference.
      const filter = (box: Box) => join(box.runtime.stateDirectory, box.id, "seccomp.bpf");
      if (runtime === "crun") {
        expect(readFileSync(join(second.bundle, "config.json"), "utf8")).toContain("seccomp_bpf_data");
        expect(readFileSync(filter(second)).equals(readFileSync(filter(first)))).toBe(true);
      }
      const streams = await second.attach();
      await second.start();
      let text = "";
      for await (const frame of streams.output) {
        text += Buffer.from(frame.data).toString("utf8");
        if (text.includes("filters") && text.includes("unshare")) break;
      }
      expect(text).toContain("Operation not permitted");
      expect(text).toContain(expected);
      const { stdout, stderr } = await runExec(
        await second.exec(shell("unshare -m true; grep ^Seccomp /proc/self/status")),
      );
      expect(stderr).toContain("Operation not permitted");
      expect(stdout).toBe(expected);
    });

    test("sees the masked paths empty and the kernel's switches read-only", async () => {
      const { stdout, stderr } = await runBox(
        options(
          shell(
            "cat /proc/timer_list /proc/keys | wc -c; ls /sys/firmware | wc -l; echo 1 > /proc/sys/vm/swappiness; mkdir /sys/fs/x",
          ),
        ),
      );
      expect(stdout).toBe("0\n0\n");
      expect(stderr.match(/Read-only file system/g)).toHaveLength(2);
    });

    test("with a read-only root writes only to its tmpfs and volumes", async () => {
      const volume = mkdtempSync("/tmp/davit-test-volume-");
      try {
        const { stdout, stderr } = await runBox(
          options(shell("touch /x; touch /t/x /v/x && ls /t /v; touch /r/y; df -k /t | tail -1"), {
            host: { ReadonlyRootfs: true },
            mounts: [
              {
                type: "tmpfs",
                source: "",
                destination: "/t",
                readonly: false,
                options: ["size=1m", "mode=700"],
              },
              { type: "volume", source: volume, destination: "/v", readonly: false },
              { type: "bind", source: volume, destination: "/r", readonly: true },
            ],
          }),
        );
        expect(stderr.match(/Read-only file system/g)).toHaveLength(2);
        expect(stdout).toStartWith("/t:\nx\n\n/v:\nx\n");
        expect(stdout).toMatch(/tmpfs\s+1024 /);
        expect(existsSync(join(volume, "x"))).toBe(true);
      } finally {
        rmSync(volume, { recursive: true });
        for (const name of ["t", "v", "r"]) rmSync(join(root.path, name), { recursive: true, force: true });
      }
    });

    test("privileged has all that we have ourselves, the host's devices and no filter", async () => {
      const { stdout, exitCode } = await runBox(
        options(shell("grep -E '^(CapEff|Seccomp):' /proc/self/status; ls /dev/kmsg; unshare -m true"), {
          host: { Privileged: true },
        }),
      );
      const own = readFileSync("/proc/self/status", "utf8").match(/^CapBnd:\t(.*)$/m)?.[1];
      expect(stdout).toBe(`CapEff:\t${own}\nSeccomp:\t0\n/dev/kmsg\n`);
      expect(exitCode).toBe(0);
    });

    test("runs as the user of the image's passwd, in its home, with its groups", async () => {
      const { stdout } = await runBox(
        options(shell("id; echo $HOME $HOSTNAME $TERM $A; pwd"), {
          config: { User: "user", WorkingDir: "/tmp", Hostname: "here", Env: ["A=b", "C"] },
        }),
      );
      expect(stdout).toContain("uid=1000(user) gid=1000(user)");
      expect(stdout).toMatch(/groups=.*50\(staff\)/);
      expect(stdout).toEndWith("/home/user here b\n/tmp\n");
    });

    test("has its limits in its cgroup", async () => {
      await using box = await Box.create(
        options(["sleep", "100"], {
          host: { Memory: 64 << 20, NanoCpus: 5e8, PidsLimit: 50, CpuShares: 512, CpusetCpus: "0" },
        }),
      );
      await box.start();
      await box.running("sleep");
      const read = (controller: string, v1: string, v2: string) => {
        const directory = controllerDirectory(box.cgroups, controller, box.cgroupPath) ?? "";
        return readFileSync(join(directory, box.cgroups.version === "v2" ? v2 : v1), "utf8").trim();
      };
      expect(read("memory", "memory.limit_in_bytes", "memory.max")).toBe(String(64 << 20));
      expect(read("pids", "pids.max", "pids.max")).toBe("50");
      expect(read("cpuset", "cpuset.cpus", "cpuset.cpus")).toBe("0");
      expect(read("cpu", "cpu.cfs_quota_us", "cpu.max").split(" ")[0]).toBe("50000");
      const stats = readStats({
        id: box.id,
        name: "/x",
        layout: box.cgroups,
        cgroupPath: box.cgroupPath,
        pid: box.pid,
      });
      expect(stats.memory_stats.limit).toBe(64 << 20);
      expect(stats.memory_stats.usage).toBeGreaterThan(0);
      expect(stats.pids_stats).toEqual({ current: 1, limit: 50 });
      expect(stats.cpu_stats.cpu_usage.total_usage).toBeGreaterThan(0);
      expect(containerPids(box.cgroups, box.cgroupPath)).toEqual([box.pid]);
    });

    test("is told apart when it ran out of memory", async () => {
      await using box = await Box.create(
        options(["tail", "-c", "200000000", "/dev/zero"], { host: { Memory: 16 << 20 } }),
      );
      await box.start();
      expect(await box.ended()).toMatchObject({ exitCode: 137, oomKilled: true });
      expect(wasOomKilled(box.cgroups, box.cgroupPath)).toBe(true);
    });

    test("has its ulimits, capped at what we may give", async () => {
      const outcome = await runBox(
        options(shell("ulimit -Sn; ulimit -Hn; ulimit -Hc; cat /proc/self/oom_score_adj"), {
          host: {
            OomScoreAdj: 500,
            Ulimits: [
              { Name: "nofile", Soft: 100, Hard: 200 },
              { Name: "core", Soft: 0, Hard: -1 },
            ],
          },
        }),
      );
      const ownCore = readFileSync("/proc/self/limits", "utf8").match(
        /^Max core file size\s+\S+\s+(\S+)/m,
      )?.[1];
      expect(outcome.stdout).toBe(`100\n200\n${ownCore}\n500\n`);
    });

    test("freezes and thaws", async () => {
      await using box = await Box.create(options(["sleep", "100"]));
      await box.start();
      await freezeContainer(box.runtime, box.id, { layout: box.cgroups, path: box.cgroupPath });
      expect(isFrozen(box.cgroups, box.cgroupPath)).toBe(true);
      expect(await containerState(box.runtime, box.id)).toMatchObject({ status: "paused", pid: box.pid });
      await resumeContainer(box.runtime, box.id);
      expect(isFrozen(box.cgroups, box.cgroupPath)).toBe(false);
      expect(await containerState(box.runtime, box.id)).toMatchObject({ status: "running" });
    });

    test("joins another's namespaces", async () => {
      await using first = await Box.create(options(["sleep", "100"]));
      await first.start();
      const path = (name: string) => ({ path: `/proc/${first.pid}/ns/${name}` });
      const { stdout } = await runBox(
        options(
          shell(
            "readlink /proc/self/ns/net; readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; ps | grep -c 'sleep 100'",
          ),
          {
            host: { NetworkMode: "container:first", PidMode: "container:first" },
            namespaces: { network: path("net"), pid: path("pid"), ipc: path("ipc") },
          },
        ),
      );
      const inode = (name: string) =>
        Bun.spawnSync(["readlink", `/proc/${first.pid}/ns/${name}`]).stdout.toString();
      expect(stdout).toStartWith(inode("net") + inode("pid") + inode("ipc"));
    });

    test("with --init has tini as its first process", async () => {
      const { stdout } = await runBox(
        options(["cat", "/proc/1/comm"], { spec: { init: findInit(searchPath) } }),
      );
      expect(stdout).not.toBe("cat\n");
    });

    test("goes on when conmon is killed, and can still be killed", async () => {
      await using box = await Box.create(options(["sleep", "100"]));
      await box.start();
      using conmon = openProcess(box.conmonPid);
      conmon?.signal(9);
      await conmon?.ended();
      expect(startTimeOf(box.pid)).toBeDefined();
      const running = await box.exec(["echo", "alive"]);
      expect((await collect(running.streams)).stdout).toBe("alive\n");
      using init = openProcess(box.pid);
      await killContainer(box.runtime, box.id, 9);
      await init?.ended();
    });

    test("goes on when the process that made it is killed, and its log is kept", async () => {
      await using box = await Box.create(
        options(shell("while ! [ -e /tmp/go-$HOSTNAME ]; do sleep 0.05; done; echo later; exit 3")),
      );
      const script = `
        import { attach } from ${JSON.stringify(join(import.meta.dir, "../../src/runtime/attach.ts"))};
        const streams = await attach(${JSON.stringify(box.bundle)});
        console.log("attached");
        for await (const _ of streams.output);
      `;
      const client = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
      for await (const chunk of client.stdout) if (Buffer.from(chunk).includes("attached")) break;
      await box.start();
      client.kill(9);
      await client.exited;
      const flag = join(root.path, "tmp", `go-${box.id}`);
      writeFileSync(flag, "");
      expect((await box.ended()).exitCode).toBe(3);
      rmSync(flag);
      expect(readFileSync(box.logPath, "utf8")).toContain(" stdout F later\n");
    });

    test("runs its exit command once its exit code stands", async () => {
      await using box = await Box.create(
        options(shell("exit 4"), {
          exitCommand: (bundle) => ["/bin/sh", "-c", 'cp "$1/exit" "$1/seen"', "sh", bundle],
        }),
      );
      await box.start();
      using conmon = openProcess(box.conmonPid);
      await conmon?.ended();
      expect(readFileSync(join(box.bundle, "seen"), "utf8")).toBe("4");
    });

    test("keeps published sockets open in conmon, and nothing else of ours", async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const probe = Bun.spawnSync(["ls", "-l", "/proc/self/fd"]).exitCode;
      expect(probe).toBe(0);
      const sockets = Bun.spawnSync(["sh", "-c", `ls -l /proc/${process.pid}/fd`]).stdout.toString();
      const inode = socketInode(sockets, server);
      await using box = await Box.create(options(["sleep", "100"], { inheritedFds: [inode.fd] }));
      await box.start();
      await box.running("sleep");
      const held = Bun.spawnSync(["ls", "-l", `/proc/${box.conmonPid}/fd`]).stdout.toString();
      const inside = Bun.spawnSync(["ls", "-l", `/proc/${box.pid}/fd`]).stdout.toString();
      expect(held).toContain(inode.link);
      expect(inside).not.toContain(inode.link);
      expect(inside.match(/ -> /g)).toHaveLength(3);
      expect(held).not.toContain("davit.db");
      server.close();
    });
  });
}

/** Which of our descriptors is the listening socket: the one that /proc/net/tcp shows on its port. */
function socketInode(listing: string, server: ReturnType<typeof createServer>): { fd: number; link: string } {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server does not listen");
  const port = address.port.toString(16).toUpperCase().padStart(4, "0");
  const line = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .find((entry) => entry.includes(`0100007F:${port} `));
  const inode = line?.trim().split(/\s+/)[9];
  const link = `socket:[${inode}]`;
  const fd = listing.match(new RegExp(`(\\d+) -> socket:\\[${inode}\\]`))?.[1];
  if (inode === undefined || fd === undefined) throw new Error("the server's socket was not found");
  return { fd: Number(fd), link };
}

test("conmon opens its log anew when it was moved away", async () => {
  await using box = await Box.create({
    rootfs: root.path,
    runtime: "crun",
    args: shell("echo one; while ! [ -e /tmp/go-$HOSTNAME ]; do sleep 0.05; done; echo two"),
  });
  const streams = await box.attach();
  await box.start();
  const frames = streams.output[Symbol.asyncIterator]();
  await frames.next();
  const { renameSync } = await import("node:fs");
  renameSync(box.logPath, `${box.logPath}.1`);
  reopenLog(box.bundle);
  while (!existsSync(box.logPath)) await Bun.sleep(2);
  const flag = join(root.path, "tmp", `go-${box.id}`);
  writeFileSync(flag, "");
  await box.ended();
  rmSync(flag);
  expect(readFileSync(`${box.logPath}.1`, "utf8")).toContain(" stdout F one\n");
  expect(readFileSync(box.logPath, "utf8")).toContain(" stdout F two\n");
});
