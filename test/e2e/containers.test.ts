/** Containers as people use them together: shared namespaces, limits, networks and firewalls, through the CLI. */
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { until } from "../harness/eventually.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { ask, cleanUp, newOutside, userTable } from "../network/sandbox.ts";

const image = "davit-busybox";
const timeout = 60_000;
afterEach(cleanUp);

const serve = (word: string, port = 80) =>
  `mkdir /www; echo ${word} > /www/index.html; exec httpd -f -p ${port} -h /www`;
/** busybox's wget cannot resolve even addresses when it is static: HTTP by hand. */
const fetchFrom = (address: string, port: number | string) =>
  `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 2 nc ${address} ${port} | tail -n 1`;

async function shell(davit: DavitInstance, name: string, script: string): Promise<string> {
  return await davit.output(["exec", name, "sh", "-c", script]);
}

async function untilServed(davit: DavitInstance, name: string, port = 80): Promise<void> {
  await until(async () => (await shell(davit, name, fetchFrom("127.0.0.1", port))) !== "");
}

describe("namespaces of others", () => {
  test(
    "--network container: one serves, the other fetches on the loopback, and finds the same address",
    async () => {
      await using davit = await newInstance();
      await davit.output(["run", "-d", "--name", "web", image, "sh", "-c", serve("hello")]);
      await untilServed(davit, "web");
      const script = `${fetchFrom("127.0.0.1", 80)}; hostname; ip -4 -o addr show eth0 | awk '{print $4}'`;
      const joined = await davit.output([
        "run",
        "--rm",
        "--network",
        "container:web",
        image,
        "sh",
        "-c",
        script,
      ]);
      const own = await shell(davit, "web", "hostname; ip -4 -o addr show eth0 | awk '{print $4}'");
      expect(joined).toBe(`hello\n${own}`);
      await davit.output(["rm", "--force", "web"]);
    },
    timeout,
  );

  test(
    "--pid container: one sees and signals the processes of the other",
    async () => {
      await using davit = await newInstance();
      const script = "trap 'exit 9' USR1; while :; do sleep 0.1; done";
      await davit.output(["run", "-d", "--name", "first", image, "sh", "-c", `echo ready; ${script}`]);
      await until(async () => (await davit.output(["logs", "first"])) === "ready");
      const seen = await davit.output([
        "run",
        "--rm",
        "--pid",
        "container:first",
        image,
        "sh",
        "-c",
        "cat /proc/1/cmdline | tr '\\0' ' '; kill -USR1 1",
      ]);
      expect(seen).toContain("trap 'exit 9' USR1");
      expect(await davit.output(["wait", "first"])).toBe("9");
    },
    timeout,
  );

  test(
    "--network host: the host's own links, name and ports",
    async () => {
      await using davit = await newInstance();
      const script = "readlink /proc/self/ns/net; hostname; ls /sys/class/net | sort | tr '\\n' ' '";
      const [namespace, name, links] = (
        await davit.output(["run", "--rm", "--network", "host", image, "sh", "-c", script])
      ).split("\n");
      expect(namespace).toBe(readlinkSync("/proc/self/ns/net"));
      expect(name).toBe(hostname());
      // Others' links come and go meanwhile.
      expect(links?.split(" ")).toContain("lo");
      const listener = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: { open: (socket) => void socket.end("from the host\n"), data: () => {} },
      });
      try {
        const asked = ["sh", "-c", `nc 127.0.0.1 ${listener.port} < /dev/null`];
        expect(await davit.output(["run", "--rm", "--network", "host", image, ...asked])).toBe(
          "from the host",
        );
        const alone = await davit.run(["run", "--rm", image, ...asked]);
        expect(alone.code).not.toBe(0);
      } finally {
        listener.stop(true);
      }
    },
    timeout,
  );
});

describe("process one", () => {
  test(
    "--init reaps orphans, passes signals on and hands back the exit code",
    async () => {
      await using davit = await newInstance();
      const script =
        "trap 'echo asked; exit 4' TERM; (sleep 0.2 & ) ; (sh -c 'exit 3' & ); echo ready; while :; do sleep 0.05; done";
      await davit.output(["run", "-d", "--init", "--name", "inited", image, "sh", "-c", script]);
      await until(async () => (await davit.output(["logs", "inited"])) === "ready");
      await until(async () => {
        const states = await shell(davit, "inited", "cat /proc/[0-9]*/stat | awk '{print $3}' | tr -d '\\n'");
        return !states.includes("Z");
      });
      // The shell is not process one.
      expect(await shell(davit, "inited", "tr '\\0' ' ' < /proc/1/cmdline")).not.toStartWith("sh -c");
      await davit.output(["stop", "--timeout", "10", "inited"]);
      expect(await davit.output(["inspect", "--format", "{{.State.ExitCode}}", "inited"])).toBe("4");
      expect(await davit.output(["logs", "inited"])).toBe("ready\nasked");
    },
    timeout,
  );
});

describe("less, and more, than usual", () => {
  test(
    "--read-only with a tmpfs and a volume: only these can be written",
    async () => {
      await using davit = await newInstance();
      const script = "for at in / /etc /tmp /data /run; do touch $at/x 2>/dev/null && echo $at; done; exit 0";
      const words = ["--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp:size=1m", "-v", "data:/data"];
      expect(await davit.output(["run", "--rm", ...words, image, "sh", "-c", script])).toBe(
        "/tmp\n/data\n/run",
      );
      const full = "head -c 2000000 /dev/zero > /tmp/big; stat -c %s /tmp/big";
      const { stdout, stderr } = await davit.run(["run", "--rm", ...words, image, "sh", "-c", full]);
      expect(stdout).toBe("1048576\n");
      expect(stderr).toContain("head: ");
    },
    timeout,
  );

  test(
    "--cap-drop ALL: root may do nothing that needs to be root",
    async () => {
      await using davit = await newInstance();
      const script =
        "grep CapEff /proc/self/status; chown 1000 /etc/passwd 2>/dev/null || echo no chown; kill -0 1 && echo kill";
      expect(await davit.output(["run", "--rm", "--cap-drop", "ALL", image, "sh", "-c", script])).toBe(
        "CapEff:\t0000000000000000\nno chown\nkill",
      );
      const added = ["--cap-drop", "ALL", "--cap-add", "CHOWN"];
      expect(
        await davit.output([
          "run",
          "--rm",
          ...added,
          image,
          "sh",
          "-c",
          "chown 1000 /etc/passwd && grep CapEff /proc/self/status",
        ]),
      ).toBe("CapEff:\t0000000000000001");
    },
    timeout,
  );

  test(
    "--privileged: the host's devices are there and can be used",
    async () => {
      await using davit = await newInstance();
      const devices = readdirSync("/dev").filter((name) => /^(vd|sd|nvme|loop|kmsg|mem|tun)/.test(name));
      expect(devices).not.toEqual([]);
      const list = ["sh", "-c", "ls /dev"];
      const seen = (await davit.output(["run", "--rm", "--privileged", image, ...list])).split("\n");
      expect(seen).toEqual(expect.arrayContaining(devices));
      const usual = (await davit.output(["run", "--rm", image, ...list])).split("\n");
      expect(usual.filter((name) => devices.includes(name))).toEqual([]);
      const mount = "mkdir /m && mount -t tmpfs none /m && echo mounted";
      expect(await davit.output(["run", "--rm", "--privileged", image, "sh", "-c", mount])).toBe("mounted");
      expect((await davit.run(["run", "--rm", image, "sh", "-c", mount])).code).not.toBe(0);
    },
    timeout,
  );

  test(
    "--memory: who takes more is killed, and inspect says why",
    async () => {
      await using davit = await newInstance();
      const greedy = ["tail", "-c", "200m", "/dev/zero"];
      const { code } = await davit.run([
        "run",
        "--name",
        "hungry",
        "--memory",
        "32m",
        "--memory-swap",
        "32m",
        image,
        ...greedy,
      ]);
      expect(code).toBe(137);
      expect(
        await davit.output([
          "inspect",
          "--format",
          "{{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Status}}",
          "hungry",
        ]),
      ).toBe("true 137 exited");
      await davit.output(["run", "--name", "modest", "--memory", "32m", image, "true"]);
      expect(
        await davit.output(["inspect", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}", "modest"]),
      ).toBe("false 0");
    },
    timeout,
  );
});

describe("on the bridge", () => {
  test(
    "containers reach each other, and a published port by the host's address, their own, too",
    async () => {
      await using davit = await newInstance();
      await davit.output(["run", "-d", "--name", "web", "-p", "80", image, "sh", "-c", serve("hello")]);
      await davit.output(["run", "-d", "--name", "client", image, "sleep", "600"]);
      await untilServed(davit, "web");
      const address = await davit.output(["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web"]);
      const gateway = await davit.output(["inspect", "--format", "{{.NetworkSettings.Gateway}}", "web"]);
      const port = (await davit.output(["port", "web", "80"])).split("\n")[0]?.split(":")[1] ?? "";
      expect(await shell(davit, "client", fetchFrom(address, 80))).toBe("hello");
      expect(await shell(davit, "client", fetchFrom(gateway, port))).toBe("hello");
      // Hairpin: out to the host's address and back to itself.
      expect(await shell(davit, "web", fetchFrom(gateway, port))).toBe("hello");
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("hello\n");
      await davit.output(["stop", "--timeout", "0", "web"]);
      expect(await shell(davit, "client", fetchFrom(gateway, port))).toBe("");
    },
    timeout,
  );

  test(
    "a user's own drop rule in the forward path holds for a published port",
    async () => {
      await using davit = await newInstance();
      const answer = "while :; do echo answer | nc -l -p 80; done";
      await davit.output(["run", "-d", "--name", "web", "-p", "80", image, "sh", "-c", answer]);
      const port = Number((await davit.output(["port", "web", "80"])).split("\n")[0]?.split(":")[1]);
      const outside = await newOutside();
      const reached = () => until(async () => (await ask(outside, outside.hostAddress, port)) === "answer");
      await reached();
      const remove = userTable(
        `chain forward { type filter hook forward priority 0; ip saddr ${outside.address} drop; }`,
      );
      expect(await ask(outside, outside.hostAddress, port)).toBeUndefined();
      // A container that comes later does not undo it.
      await davit.output(["run", "--rm", "-p", "81", image, "true"]);
      expect(await ask(outside, outside.hostAddress, port)).toBeUndefined();
      remove();
      await reached();
    },
    timeout,
  );
});

test(
  "what a container wrote and was is found in /proc as it says",
  async () => {
    await using davit = await newInstance();
    await davit.output([
      "run",
      "-d",
      "--name",
      "box",
      "--memory",
      "64m",
      "--pids-limit",
      "50",
      image,
      "sleep",
      "600",
    ]);
    const pid = await davit.output(["inspect", "--format", "{{.State.Pid}}", "box"]);
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toBe("sleep\x00600\x00");
    expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain(davit.instance.cgroupParent);
    for (const namespace of ["mnt", "uts", "ipc", "pid", "net"]) {
      expect(readlinkSync(`/proc/${pid}/ns/${namespace}`)).not.toBe(
        readlinkSync(`/proc/self/ns/${namespace}`),
      );
    }
  },
  timeout,
);
