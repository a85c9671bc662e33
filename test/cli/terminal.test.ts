/** The command line in a real terminal, against containers of its own engine. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type DavitInstance, davitBinary, newInstance } from "../harness/instance.ts";
import { openTerminal } from "../harness/pty.ts";

const image = "davit-busybox";
setDefaultTimeout(60_000);
let davit: DavitInstance;

beforeAll(async () => {
  davit = await newInstance({ busybox: true });
}, 120_000);

afterAll(async () => {
  await davit?.[Symbol.asyncDispose]();
}, 60_000);

function inTerminal(args: readonly string[]) {
  return openTerminal([davitBinary, ...args], { env: davit.env, columns: 93, rows: 31 });
}

test("a shell in a container has our terminal's size, follows it, and hands back its exit code", async () => {
  using terminal = inTerminal(["run", "--rm", "-it", "--network", "none", image, "sh"]);
  await terminal.see("# ");
  terminal.type("stty size\n");
  await terminal.see("31 93");
  terminal.resize(70, 20);
  await terminal.see("/ # ", { times: 2 });
  await Bun.sleep(300);
  terminal.type("stty size\n");
  await terminal.see("20 70");
  terminal.type("exit 42\n");
  expect(await terminal.exited()).toBe(42);
});

test("Ctrl-C goes to the program in the container", async () => {
  using terminal = inTerminal([
    "run",
    "--rm",
    "-it",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.05; done",
  ]);
  await terminal.see("ready");
  terminal.type("\x03");
  await terminal.see("caught");
  expect(await terminal.exited()).toBe(6);
});

test("the detach keys leave the container running, and it can be attached to again", async () => {
  {
    using terminal = inTerminal(["run", "-it", "--name", "detached", "--network", "none", image, "sh"]);
    await terminal.see("# ");
    // In two strokes, as fingers do.
    terminal.type("\x10");
    await Bun.sleep(100);
    terminal.type("\x11");
    expect(await terminal.exited()).toBe(0);
  }
  expect(await davit.output(["inspect", "-f", "{{.State.Status}}", "detached"])).toBe("running");
  {
    using terminal = inTerminal(["attach", "detached"]);
    terminal.type("echo still $((40 + 2))\n");
    await terminal.see("still 42");
    terminal.type("\x10\x11");
    await terminal.see("read escape sequence");
    expect(await terminal.exited()).toBe(1);
  }
  {
    using terminal = inTerminal(["attach", "--detach-keys", "ctrl-a,d", "detached"]);
    terminal.type("exit 3\n");
    expect(await terminal.exited()).toBe(3);
  }
  await davit.output(["rm", "detached"]);
});

test("the beginning of the detach keys is passed on when the rest does not come", async () => {
  using terminal = inTerminal(["run", "--rm", "-it", "--network", "none", image, "cat", "-v"]);
  await Bun.sleep(500);
  terminal.type("\x10");
  terminal.type("x\n");
  await terminal.see("^Px");
  terminal.type("\x04");
  expect(await terminal.exited()).toBe(0);
});

test("the terminal is as before when the container has ended", async () => {
  const script = `before=$(stty -g); "$0" "$@"; [ "$before" = "$(stty -g)" ] && echo the same`;
  using terminal = openTerminal(
    ["sh", "-c", script, davitBinary, "run", "--rm", "-it", "--network", "none", image, "true"],
    { env: davit.env },
  );
  await terminal.see("the same");
  expect(await terminal.exited()).toBe(0);
});

test("a command in a running container has a terminal of its own", async () => {
  await davit.output(["run", "-d", "--name", "host", "--network", "none", image, "sleep", "600"]);
  using terminal = inTerminal(["exec", "-it", "-e", "GREETING=hi", "host", "sh"]);
  await terminal.see("# ");
  terminal.type("echo $GREETING from $(tty); stty size\n");
  await terminal.see("hi from /dev/pts/");
  await terminal.see("31 93");
  terminal.type("exit 7\n");
  expect(await terminal.exited()).toBe(7);
  await davit.output(["rm", "-f", "host"]);
});

test("signals reach a container that runs without a terminal", async () => {
  const child = davit.spawn([
    "run",
    "--rm",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done",
  ]);
  const output = child.stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (!text.includes("ready\n")) text += decoder.decode((await output.read()).value);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(9);
  for (let part = await output.read(); !part.done; part = await output.read())
    text += decoder.decode(part.value);
  expect(text).toBe("ready\ncaught\n");
});

test("stdin ends where ours ends, and all of the output comes back", async () => {
  const sent = "0123456789abcde\n".repeat(65_536);
  const finished = await davit.run(["run", "--rm", "-i", "--network", "none", image, "cat"], { stdin: sent });
  expect(finished.code).toBe(0);
  expect(finished.stdout.length).toBe(sent.length);
  expect(finished.stdout === sent).toBe(true);
});

test("stdout and stderr stay apart", async () => {
  const finished = await davit.run([
    "run",
    "--rm",
    "--network",
    "none",
    image,
    "sh",
    "-c",
    "echo out; echo err >&2; exit 4",
  ]);
  expect(finished).toEqual({ code: 4, stdout: "out\n", stderr: "err\n" });
});

test("a reader that goes away ends run, not the container", async () => {
  const script = `"$0" "$@" | head -n 1; exit 0`;
  const child = Bun.spawn(
    ["sh", "-c", script, davitBinary, "run", "--name", "chatty", "--network", "none", image, "yes"],
    { env: { ...process.env, ...davit.env }, stdout: "pipe", stderr: "pipe" },
  );
  expect(await new Response(child.stdout).text()).toBe("y\n");
  expect(await new Response(child.stderr).text()).toBe("write /dev/stdout: broken pipe\n");
  expect(await davit.output(["inspect", "-f", "{{.State.Status}}", "chatty"])).toBe("running");
  await davit.output(["rm", "-f", "chatty"]);
});

test("-t without a terminal is refused before anything is made", async () => {
  const finished = await davit.run(["run", "-it", "--name", "never", image]);
  expect(finished).toEqual({ code: 1, stdout: "", stderr: "the input device is not a TTY\n" });
  expect(await davit.output(["ps", "-aq", "--filter", "name=never"])).toBe("");
});
