/** What a process in a container sees: its environment, user, root, isolation and limits. */
import { expect, test } from "bun:test";
import { cannotGrantAllCapabilities, ownCapabilities } from "./machine.ts";
import { contract, eventually, expectFailure } from "./subjects.ts";

const MiB = 1 << 20;

contract("the process of a container", (subject) => {
  test("the environment is the image's with the container's on top, and PATH, HOSTNAME and HOME", async () => {
    const { stdout } = await subject.run(["env"], {
      Env: ["A=1", "B=two words", "EMPTY=", "A=3"],
      Hostname: "host-1",
    });
    const variables = Object.fromEntries(
      stdout.split("\n").flatMap((line) => {
        const at = line.indexOf("=");
        return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
      }),
    );
    expect(variables).toEqual({
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOSTNAME: "host-1",
      HOME: "/root",
      A: "3",
      B: "two words",
      EMPTY: "",
    });
  });

  test("TERM is set with a TTY", async () => {
    expect((await subject.run(["sh", "-c", "echo $TERM"], { Tty: true })).stdout).toBe("xterm\r\n");
    expect(await subject.shell("env | grep -c ^TERM= || true")).toBe("0");
  });

  test("the image's command runs when none is given", async () => {
    const { stdout } = await subject.run(
      [],
      { Cmd: null, OpenStdin: true, StdinOnce: true, AttachStdin: true },
      "echo from sh\n",
    );
    expect(stdout).toBe("from sh\n");
  });

  test("an entrypoint comes before the command", async () => {
    const { stdout } = await subject.run(["a", "b c"], { Entrypoint: ["printf", "[%s]"] });
    expect(stdout).toBe("[a][b c]");
    await using container = await subject.create({ Entrypoint: ["printf", "x"], Cmd: ["y"] });
    const { Path, Args, Config } = await subject.engine.containers.inspect(container.id);
    expect([Path, Args]).toEqual(["printf", ["x", "y"]]);
    expect([Config.Entrypoint, Config.Cmd]).toEqual([["printf", "x"], ["y"]]);
  });

  test("an entrypoint of its own drops the image's command", async () => {
    expect((await subject.run([], { Entrypoint: ["echo", "alone"], Cmd: null })).stdout).toBe("alone\n");
  });

  test("an argument may hold anything", async () => {
    const odd = "a\"b'c $HOME `x` \\n \t é 語";
    expect((await subject.run(["printf", "%s", odd])).stdout).toBe(odd);
  });

  test("the working directory is made when it is missing", async () => {
    expect((await subject.run(["pwd"], { WorkingDir: "/a/b" })).stdout).toBe("/a/b\n");
    expect((await subject.run(["pwd"])).stdout).toBe("/\n");
  });

  test.each([
    ["user", "1000:1000", "/home/user", "1000 50"],
    ["1000", "1000:1000", "/home/user", "1000 50"],
    ["user:staff", "1000:50", "/home/user", "50"],
    ["1000:1", "1000:1", "/home/user", "1"],
    ["nobody:daemon", "65534:1", "/", "1"],
    ["4321:8765", "4321:8765", "/", "8765"],
    ["4321", "4321:0", "/", "0"],
    ["root", "0:0", "/root", "0"],
  ])("user %s is %s", async (User, ids, home, groups) => {
    // `id -G` of busybox asks /etc/group; the kernel's own list is in /proc.
    const output = await subject.shell("echo $(id -u):$(id -g); echo $HOME; grep Groups: /proc/self/status", {
      User,
    });
    const [actualIds, actualHome, kernelGroups = ""] = output.split("\n");
    expect([actualIds, actualHome]).toEqual([ids, home]);
    const listed = kernelGroups.replace("Groups:", "").trim().split(/\s+/);
    expect(new Set([...listed, ids.split(":")[1]]).size === 0).toBe(false);
    // Runtimes differ in whether the main group is listed among the others.
    const extra = groups.split(" ").filter((group) => group !== ids.split(":")[1]);
    expect(listed.filter((group) => group !== ids.split(":")[1] && group !== "")).toEqual(extra);
  });

  test("additional groups are given by name or number", async () => {
    const groups = await subject.shell("grep Groups: /proc/self/status", {
      User: "1000:1000",
      HostConfig: { GroupAdd: ["staff", "777"] },
    });
    const listed = groups.replace("Groups:", "").trim().split(/\s+/);
    expect(listed).toContain("50");
    expect(listed).toContain("777");
  });

  test("the hostname is the short id, or as asked", async () => {
    await using container = await subject.start(["hostname"]);
    await subject.exitCodeOf(container.id);
    expect((await subject.logsOf(container.id)).stdout).toBe(`${container.id.slice(0, 12)}\n`);
    expect(await subject.shell("hostname; cat /etc/hostname", { Hostname: "web-1" })).toBe("web-1\nweb-1");
    expect(
      await subject.shell("hostname; cat /etc/hostname; cat /proc/sys/kernel/domainname", {
        Hostname: "web",
        Domainname: "example.org",
      }),
    ).toBe("web\nweb\nexample.org");
  });

  test("/etc/hosts names localhost, the container and what was added", async () => {
    const hosts = await subject.shell("cat /etc/hosts", {
      Hostname: "web-2",
      HostConfig: { ExtraHosts: ["db:10.1.2.3", "six:2001:db8::1"] },
    });
    const lines = hosts.split("\n").map((line) => line.split(/\s+/).join(" "));
    expect(lines).toContain("127.0.0.1 localhost");
    expect(lines).toContain("10.1.2.3 db");
    expect(lines).toContain("2001:db8::1 six");
    expect(lines.some((line) => /^\d+\.\d+\.\d+\.\d+ web-2$/.test(line))).toBe(true);
  });

  test("/etc/resolv.conf holds the name servers that were asked for", async () => {
    const conf = await subject.shell("cat /etc/resolv.conf", {
      HostConfig: { Dns: ["192.0.2.53"], DnsSearch: ["example.org", "example.net"], DnsOptions: ["ndots:3"] },
    });
    const lines = conf.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(lines.toSorted()).toEqual([
      "nameserver 192.0.2.53",
      "options ndots:3",
      "search example.org example.net",
    ]);
  });

  test("Docker's default capabilities hold, and no more", async () => {
    const status = await subject.shell("grep Cap /proc/self/status");
    expect(Object.fromEntries(status.split("\n").map((line) => line.split(/:\s+/)))).toEqual({
      CapInh: "0000000000000000",
      CapPrm: "00000000a80425fb",
      CapEff: "00000000a80425fb",
      CapBnd: "00000000a80425fb",
      CapAmb: "0000000000000000",
    });
  });

  test("a user other than root has none of them, but could get them", async () => {
    const status = await subject.shell("grep -E 'Cap(Eff|Bnd)' /proc/self/status", { User: "1000" });
    expect(status).toBe("CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb");
  });

  test.each([
    [{ CapAdd: ["NET_ADMIN"] }, "00000000a80435fb"],
    [{ CapAdd: ["CAP_SYS_ADMIN"] }, "00000000a82425fb"],
    [{ CapAdd: ["sys_ptrace"] }, "00000000a80c25fb"],
    [{ CapDrop: ["CHOWN", "NET_RAW"] }, "00000000a80405fa"],
    [{ CapDrop: ["ALL"] }, "0000000000000000"],
    [{ CapDrop: ["ALL"], CapAdd: ["NET_BIND_SERVICE"] }, "0000000000000400"],
  ])("capabilities with %j", async (HostConfig, expected) => {
    const status = await subject.shell("grep CapEff /proc/self/status", { HostConfig });
    expect(status).toBe(`CapEff:\t${expected}`);
  });

  test.skipIf(cannotGrantAllCapabilities(subject))("all capabilities are all that there are", async () => {
    const status = await subject.shell("grep CapEff /proc/self/status", { HostConfig: { CapAdd: ["ALL"] } });
    expect(status).toBe(`CapEff:\t${ownCapabilities()}`);
  });

  test("an unknown capability is refused", async () => {
    await expectFailure(
      subject.create({ HostConfig: { CapAdd: ["NOPE"] } }),
      "invalid",
      /^invalid CapAdd: unknown capability: "(CAP_)?NOPE"$/,
    );
  });

  test("system calls are filtered", async () => {
    expect(await subject.shell("grep Seccomp: /proc/self/status")).toBe("Seccomp:\t2");
    // unshare(2) of a user namespace is what Docker's profile forbids without CAP_SYS_ADMIN.
    expect((await subject.run(["unshare", "-U", "true"])).code).not.toBe(0);
  });

  test("the filter can be switched off", async () => {
    const output = await subject.shell("grep Seccomp: /proc/self/status", {
      HostConfig: { SecurityOpt: ["seccomp=unconfined"] },
    });
    expect(output).toBe("Seccomp:\t0");
  });

  test("no-new-privileges is set when asked for", async () => {
    expect(await subject.shell("grep NoNewPrivs /proc/self/status")).toBe("NoNewPrivs:\t0");
    const output = await subject.shell("grep NoNewPrivs /proc/self/status", {
      HostConfig: { SecurityOpt: ["no-new-privileges"] },
    });
    expect(output).toBe("NoNewPrivs:\t1");
  });

  test.skipIf(cannotGrantAllCapabilities(subject))("privileged lifts all of it", async () => {
    const output = await subject.shell(
      "grep -E 'CapEff|Seccomp:' /proc/self/status; test -e /dev/kmsg && echo devices; touch /proc/sys/kernel/ctrl-alt-del && echo writable; ls /proc/acpi /sys/firmware | wc -l",
      { HostConfig: { Privileged: true } },
    );
    const [capabilities, seccomp, devices, writable] = output.split("\n");
    expect([capabilities, seccomp, devices, writable]).toEqual([
      `CapEff:\t${ownCapabilities()}`,
      "Seccomp:\t0",
      "devices",
      "writable",
    ]);
  });

  test("paths of the kernel are masked or read-only", async () => {
    const output = await subject.shell(
      "head -c 10 /proc/kcore | wc -c; head -c 10 /proc/timer_list | wc -c; ls /sys/firmware /proc/acpi 2>/dev/null | grep -v : | tr -d '\\n' | wc -c; " +
        "echo x 2>/dev/null > /proc/sys/kernel/domainname || echo read-only; touch /sys/x 2>/dev/null || echo read-only; echo b 2>/dev/null > /proc/sysrq-trigger || echo read-only",
    );
    expect(output.split("\n").map((line) => line.trim())).toEqual([
      "0",
      "0",
      "0",
      "read-only",
      "read-only",
      "read-only",
    ]);
  });

  test("/dev holds the usual devices and no others", async () => {
    const output = await subject.shell(
      "ls /dev | tr '\\n' ' '; echo; head -c 4 /dev/zero | wc -c; echo x > /dev/null; test -c /dev/urandom && test -c /dev/full && test -c /dev/random && echo devices; readlink /dev/stdout; mknod /tmp/sda b 8 0 && head -c 1 /tmp/sda 2>&1 | grep -o 'not permitted'",
    );
    const [names = "", ...rest] = output.split("\n");
    // `core` is there on kernels with /proc/kcore only.
    expect(names.split(" ").filter((name) => name !== "" && name !== "core")).toEqual([
      "fd",
      "full",
      "mqueue",
      "null",
      "ptmx",
      "pts",
      "random",
      "shm",
      "stderr",
      "stdin",
      "stdout",
      "tty",
      "urandom",
      "zero",
    ]);
    expect(rest).toEqual(["4", "devices", "/proc/self/fd/1", "not permitted"]);
  });

  test("a device can be given", async () => {
    const output = await subject.shell(
      "test -c /dev/my-kmsg && cat /sys/dev/char/1:11/uevent | grep DEVNAME",
      {
        HostConfig: {
          Devices: [{ PathOnHost: "/dev/kmsg", PathInContainer: "/dev/my-kmsg", CgroupPermissions: "r" }],
        },
      },
    );
    expect(output).toBe("DEVNAME=kmsg");
  });

  test("it is alone in its namespaces", async () => {
    const output = await subject.shell(
      "echo $$; ls -d /proc/[0-9]* | wc -l; for n in mnt uts ipc pid net; do readlink /proc/self/ns/$n; done",
    );
    const [pid, , ...namespaces] = output.split("\n");
    expect(pid).toBe("1");
    const { readlinkSync } = await import("node:fs");
    const ours = ["mnt", "uts", "ipc", "pid", "net"].map((kind) => readlinkSync(`/proc/self/ns/${kind}`));
    expect(namespaces.length).toBe(5);
    expect(namespaces.filter((name) => ours.includes(name))).toEqual([]);
  });

  test("namespaces of another container can be shared", async () => {
    await using first = await subject.start(["sleep", "600"], {
      Hostname: "first",
      HostConfig: { IpcMode: "shareable" },
    });
    const join = `container:${first.id}`;
    const theirs = (
      await subject.exec(first.id, ["sh", "-c", "for n in ipc pid net; do readlink /proc/1/ns/$n; done"])
    ).stdout;
    const ours = await subject.shell("for n in ipc pid net; do readlink /proc/self/ns/$n; done; hostname", {
      HostConfig: { IpcMode: join, PidMode: join, NetworkMode: join },
    });
    expect(`${ours}\n`).toBe(`${theirs}first\n`);
  });

  test("init reaps and passes signals on", async () => {
    await using container = await subject.start(
      ["sh", "-c", "trap 'exit 11' TERM; (sleep 0.1 &); echo $$; echo up; while :; do sleep 0.05; done"],
      { HostConfig: { Init: true } },
    );
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("up") || undefined);
    expect((await subject.logsOf(container.id)).stdout).not.toStartWith("1\n");
    const { stdout } = await subject.exec(container.id, ["cat", "/proc/1/comm"]);
    expect(stdout.trim()).toMatch(/init|tini/);
    await subject.engine.containers.stop(container.id, { timeout: 20 });
    expect((await subject.engine.containers.inspect(container.id)).State.ExitCode).toBe(11);
  });

  test("with a read-only root nothing can be written but what is mounted", async () => {
    const output = await subject.shell(
      "touch /x 2>&1 | grep -o 'Read-only file system'; touch /t/x && echo written; touch /dev/shm/x && echo shm; touch /etc/hosts 2>/dev/null || echo also read-only",
      { HostConfig: { ReadonlyRootfs: true, Tmpfs: { "/t": "" } } },
    );
    expect(output).toBe("Read-only file system\nwritten\nshm\nalso read-only");
  });

  test("a tmpfs has its size and mode", async () => {
    const output = await subject.shell(
      "grep ' /t ' /proc/mounts | cut -d' ' -f3,4; stat -c %a /t; ls -A /t | wc -l",
      {
        HostConfig: { Tmpfs: { "/t": "size=4m,mode=1700" } },
      },
    );
    const [mount = "", mode, count] = output.split("\n");
    const [type, options = ""] = mount.split(" ");
    expect([type, mode, count?.trim()]).toEqual(["tmpfs", "1700", "0"]);
    for (const option of ["rw", "nosuid", "nodev", "noexec", "size=4096k"]) {
      expect(options.split(",")).toContain(option);
    }
  });

  test("/dev/shm is as large as asked for", async () => {
    const size = "df -k /dev/shm | tail -n 1 | awk '{print $2}'";
    expect(await subject.shell(size)).toBe("65536");
    expect(await subject.shell(size, { HostConfig: { ShmSize: 8 * MiB } })).toBe("8192");
  });

  test("ulimits hold", async () => {
    const output = await subject.shell("ulimit -n; ulimit -Hn; ulimit -c", {
      HostConfig: {
        Ulimits: [
          { Name: "nofile", Soft: 111, Hard: 222 },
          { Name: "core", Soft: 0, Hard: 0 },
        ],
      },
    });
    expect(output).toBe("111\n222\n0");
  });

  test("kernel parameters of its namespaces can be set", async () => {
    const output = await subject.shell(
      "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni",
      {
        HostConfig: { Sysctls: { "net.ipv4.ip_unprivileged_port_start": "81", "kernel.shmmni": "4000" } },
      },
    );
    expect(output).toBe("81\n4000");
  });

  test("the score for the OOM killer is set", async () => {
    expect(await subject.shell("cat /proc/self/oom_score_adj", { HostConfig: { OomScoreAdj: 500 } })).toBe(
      "500",
    );
  });
});

contract("limits", (subject) => {
  // One of the two layouts is there; each line is `name=value`.
  const read = (...files: [v1: string, v2: string][]): string =>
    files.map(([v1, v2]) => `cat /sys/fs/cgroup/${v1} 2>/dev/null || cat /sys/fs/cgroup/${v2}`).join("; ");

  test("memory", async () => {
    const output = await subject.shell(read(["memory/memory.limit_in_bytes", "memory.max"]), {
      HostConfig: { Memory: 64 * MiB },
    });
    expect(output).toBe(String(64 * MiB));
  });

  test("a process that asks for more memory is killed, and the container says so", async () => {
    await using container = await subject.start(
      ["sh", "-c", "head -c 200000000 /dev/zero | tail | wc -c; echo survived"],
      {
        HostConfig: { Memory: 16 * MiB, MemorySwap: 16 * MiB },
      },
    );
    await subject.exitCodeOf(container.id);
    const { State } = await subject.engine.containers.inspect(container.id);
    expect(State.OOMKilled).toBe(true);
  });

  test("CPU time", async () => {
    const output = await subject.shell(
      "cat /sys/fs/cgroup/cpu.max 2>/dev/null || echo $(cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us) $(cat /sys/fs/cgroup/cpu/cpu.cfs_period_us)",
      { HostConfig: { NanoCpus: 500_000_000 } },
    );
    expect(output).toBe("50000 100000");
  });

  test("CPU shares, by quota and period, and a set of CPUs", async () => {
    const output = await subject.shell(
      "cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us /sys/fs/cgroup/cpuset/cpuset.cpus 2>/dev/null || " +
        "cat /sys/fs/cgroup/cpu.weight /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpuset.cpus",
      { HostConfig: { CpuShares: 512, CpuQuota: 25_000, CpuPeriod: 50_000, CpusetCpus: "0" } },
    );
    expect(["512\n25000\n50000\n0", "20\n25000 50000\n0"]).toContain(output);
  });

  test("the number of processes", async () => {
    const limit = read(["pids/pids.max", "pids.max"]);
    expect(await subject.shell(limit, { HostConfig: { PidsLimit: 50 } })).toBe("50");
    expect(await subject.shell(limit)).toBe("max");
  });

  test.each([
    [{ Memory: MiB }, "Minimum memory limit allowed is 6MB"],
    [
      { Memory: 16 * MiB, MemorySwap: 8 * MiB },
      "Minimum memoryswap limit should be larger than memory limit, see usage",
    ],
    [
      { MemorySwap: 8 * MiB },
      "You should always set the Memory limit when using Memoryswap limit, see usage",
    ],
    [
      { Memory: 16 * MiB, MemoryReservation: 32 * MiB },
      "Minimum memory limit can not be less than memory reservation limit, see usage",
    ],
    [
      { NanoCpus: 1_000_000_000, CpuQuota: 1000 },
      "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
    ],
    [{ NanoCpus: -1 }, /^range of CPUs is from 0\.01 to \d+\.00, as there are only \d+ CPUs available$/],
    [{ NanoCpus: 1e12 }, /^range of CPUs is from 0\.01 to \d+\.00, as there are only \d+ CPUs available$/],
    [{ CpuQuota: 10 }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"],
    [{ CpusetCpus: "x" }, /invalid argument "x"|Invalid value x for cpuset cpus/i],
  ])("%j is refused", async (HostConfig, words) => {
    const insensitive =
      typeof words === "string"
        ? new RegExp(`^${words.replace(/[.()]/g, "\\$&")}\\.?$`, "i")
        : new RegExp(words, "i");
    await expectFailure(subject.create({ HostConfig }), "invalid", insensitive);
  });
});
