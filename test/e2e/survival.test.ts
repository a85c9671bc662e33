/** davit's client and conmon are killed while a container runs: it goes on, and what follows its end is done. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasErrno } from "../../src/core/errors.ts";
import { conmonsOf } from "../faults/conmon.ts";
import { eventually, until } from "../harness/eventually.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";

const image = "davit-busybox";
const timeout = 60_000;

async function inspect(davit: DavitInstance, name: string, format: string): Promise<string> {
  return await davit.output(["inspect", "--format", format, name]);
}

async function untilLogged(davit: DavitInstance, name: string, text: string): Promise<void> {
  await until(async () => (await davit.run(["logs", name])).stdout.includes(text));
}

async function untilState(davit: DavitInstance, name: string, state: string): Promise<void> {
  await until(async () => {
    const { stdout } = await davit.run(["inspect", "--format", "{{.State.Status}}", name]);
    return stdout.trim() === state;
  });
}

/** A command that waits for something to happen to a container has an inotify or a pidfd open for it. */
async function untilWatching(pid: number): Promise<void> {
  await until(async () => {
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
    return open.some((link) => /inotify|pidfd/.test(link));
  });
}

async function nextText(reader: { read(): Promise<{ value?: Uint8Array | undefined }> }): Promise<string> {
  const { value } = await reader.read();
  return new TextDecoder().decode(value);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    // Closed since it was listed.
    if (hasErrno(error, "ENOENT")) return "";
    throw error;
  }
}

function killConmons(davit: DavitInstance): void {
  const conmons = conmonsOf(davit.instance);
  expect(conmons).not.toEqual([]);
  for (const pid of conmons) process.kill(pid, "SIGKILL");
}

/** A container that goes on to its end when this file appears on the host. */
function gate(davit: DavitInstance): { mount: string; open(): void } {
  return {
    mount: `${davit.directory}:/gate`,
    open: () => writeFileSync(join(davit.directory, "open"), ""),
  };
}
const untilOpen = "until [ -e /gate/open ]; do sleep 0.05; done";

/** `run` of the container that these tests are about. */
function victim(flags: readonly string[], ...command: readonly string[]): string[] {
  return ["run", ...flags, "--name", "victim", image, ...command];
}

describe("the client is killed", () => {
  test(
    "that of run --rm: the output is kept until the container ends, which then goes on its own",
    async () => {
      await using davit = await newInstance();
      const { mount, open } = gate(davit);
      const script = `echo one; ${untilOpen}; echo two; exit 5`;
      const child = davit.spawn(victim(["--rm", "-v", mount, "-v", "/anonymous"], "sh", "-c", script));
      await untilLogged(davit, "victim", "one");
      const id = await inspect(davit, "victim", "{{.Id}}");
      child.kill("SIGKILL");
      await child.exited;
      expect(await davit.output(["exec", "victim", "echo", "lives"])).toBe("lives");
      expect(await davit.output(["logs", "victim"])).toBe("one");
      const waiting = davit.spawn(["wait", "victim"]);
      const following = davit.spawn(["logs", "--follow", "victim"]);
      await untilWatching(waiting.pid);
      const followed = following.stdout.getReader();
      expect(await nextText(followed)).toBe("one\n");
      open();
      expect(await new Response(waiting.stdout).text()).toBe("5\n");
      expect(await nextText(followed)).toBe("two\n");
      expect(await following.exited).toBe(0);
      await until(async () => !existsSync(join(davit.instance.dataRoot, "containers", id)));
      expect(await davit.output(["ps", "--all", "--quiet"])).toBe("");
      expect(await davit.output(["volume", "ls", "--quiet"])).toBe("");
    },
    timeout,
  );

  test(
    "that of attach, with a terminal: the same",
    async () => {
      await using davit = await newInstance();
      const { mount, open } = gate(davit);
      await davit.output(victim(["-dt", "-v", mount], "sh", "-c", `${untilOpen}; echo two; exit 6`));
      const child = davit.spawn(["attach", "--no-stdin", "victim"]);
      await untilWatching(child.pid);
      child.kill("SIGKILL");
      await child.exited;
      open();
      expect(await davit.output(["wait", "victim"])).toBe("6");
      expect(await davit.output(["logs", "victim"])).toBe("two\r");
    },
    timeout,
  );
});

describe("conmon is killed", () => {
  test(
    "the container goes on; how it ended is then not known: 255",
    async () => {
      await using davit = await newInstance();
      const { mount, open } = gate(davit);
      const script = `echo one; ${untilOpen}; exit 5`;
      await davit.output(victim(["-d", "-p", "127.0.0.1::80", "-v", mount], "sh", "-c", script));
      await untilLogged(davit, "victim", "one");
      const pid = await inspect(davit, "victim", "{{.State.Pid}}");
      killConmons(davit);
      await until(async () => conmonsOf(davit.instance).length === 0);
      expect(await inspect(davit, "victim", "{{.State.Status}} {{.State.Pid}}")).toBe(`running ${pid}`);
      expect(await davit.output(["exec", "victim", "echo", "lives"])).toBe("lives");
      expect(await davit.output(["logs", "victim"])).toBe("one");
      const waiting = davit.spawn(["wait", "victim"]);
      open();
      expect(await new Response(waiting.stdout).text()).toBe("255\n");
      expect(await inspect(davit, "victim", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}")).toBe(
        "exited 255 0",
      );
      expect(await davit.output(["port", "victim"])).toBe("");
    },
    timeout,
  );

  test(
    "--rm is obeyed by the next command",
    async () => {
      await using davit = await newInstance();
      const { mount, open } = gate(davit);
      await davit.output(victim(["-d", "--rm", "-v", mount], "sh", "-c", untilOpen));
      killConmons(davit);
      open();
      await until(async () => (await davit.output(["ps", "--all", "--quiet"])) === "");
      // Nothing is left for a later command to clean up.
      expect(await davit.output(["run", "--rm", "--name", "victim", image, "echo", "next"])).toBe("next");
    },
    timeout,
  );

  test(
    "--restart always is obeyed when the next command finds that the container has ended",
    async () => {
      await using davit = await newInstance();
      await davit.output(victim(["-d", "--restart", "always"], "sleep", "600"));
      const pid = await inspect(davit, "victim", "{{.State.Pid}}");
      killConmons(davit);
      process.kill(Number(pid), "SIGKILL");
      await until(async () => {
        const now = await inspect(davit, "victim", "{{.State.Status}} {{.State.Pid}}");
        return now.startsWith("running ") && now !== `running ${pid}`;
      });
      expect(await inspect(davit, "victim", "{{.RestartCount}}")).toBe("1");
      expect(await davit.output(["exec", "victim", "echo", "lives"])).toBe("lives");
    },
    timeout,
  );
});

describe("a restart policy", () => {
  test(
    "is obeyed without any client, and ends when a person stops the container",
    async () => {
      await using davit = await newInstance();
      const child = davit.spawn(victim(["--restart", "always"], "sleep", "600"));
      await untilState(davit, "victim", "running");
      child.kill("SIGKILL");
      await child.exited;
      const first = await inspect(davit, "victim", "{{.State.Pid}}");
      process.kill(Number(first), "SIGKILL");
      const second = await eventually(async () => {
        const [state, pid] = (await inspect(davit, "victim", "{{.State.Status}} {{.State.Pid}}")).split(" ");
        return state === "running" && pid !== first ? pid : undefined;
      });
      await davit.output(["stop", "--timeout", "0", "victim"]);
      expect(await inspect(davit, "victim", "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 137");
      // Longer than the back-off would be.
      await Bun.sleep(600);
      expect(await inspect(davit, "victim", "{{.State.Status}}")).toBe("exited");

      await davit.output(["start", "victim"]);
      const third = await inspect(davit, "victim", "{{.State.Pid}}");
      expect(third).not.toBe(second ?? "");
      process.kill(Number(third), "SIGKILL");
      await until(async () => {
        const now = await inspect(davit, "victim", "{{.State.Status}} {{.State.Pid}}");
        return now.startsWith("running ") && now !== `running ${third}`;
      });
    },
    timeout,
  );

  test(
    "does not outlive the container's removal",
    async () => {
      await using davit = await newInstance();
      await davit.output(victim(["-d", "--restart", "always"], "false"));
      await until(async () => Number(await inspect(davit, "victim", "{{.RestartCount}}")) >= 2);
      await davit.output(["rm", "--force", "victim"]);
      await Bun.sleep(600);
      expect(await davit.output(["ps", "--all", "--quiet"])).toBe("");
    },
    timeout,
  );
});
