/** What changes while one looks at it, in a real terminal: the progress of load and pull, and stats. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { busyboxArchive } from "../harness/images.ts";
import { type DavitInstance, davitBinary, newInstance } from "../harness/instance.ts";
import { openTerminal } from "../harness/pty.ts";
import { Screen } from "./screen.ts";

const missing = missingForDockerRegistry();
if (missing !== undefined) console.error(`SKIPPED: pull and run from a registry in a terminal: ${missing}`);
setDefaultTimeout(60_000);

const image = "davit-busybox";
let davit: DavitInstance;

beforeAll(async () => {
  davit = await newInstance();
});

afterAll(async () => {
  await davit?.[Symbol.asyncDispose]();
});

function inTerminal(
  args: readonly string[],
  size: { columns: number; rows: number } = { columns: 100, rows: 30 },
) {
  return openTerminal([davitBinary, ...args], { env: davit.env, ...size });
}

/** What the terminal shows in the end. */
function shown(text: string, columns = 100, rows = 30): string {
  const screen = new Screen(columns, rows);
  screen.write(text);
  return screen.text;
}

/** An image with a big layer that the small one does not share. */
async function bigArchive(): Promise<string> {
  const name = await davit.output(["create", image]);
  await davit.output(["rm", name]);
  const root = join(davit.directory, "root");
  const files = ["a", "b", "c"].map((file) => join(root, file));
  Bun.spawnSync(["mkdir", "-p", root]);
  for (const file of files) writeFileSync(file, Buffer.alloc(20_000_000, file.at(-1)));
  const archive = join(davit.directory, "root.tar");
  Bun.spawnSync(["tar", "-cf", archive, "-C", root, "."]);
  return archive;
}

test("load shows each layer in place, and leaves one line for it", async () => {
  await davit.output(["rmi", image]);
  const archive = await busyboxArchive();
  using terminal = inTerminal(["load", "-i", archive]);
  await terminal.see("Loaded image: davit-busybox:latest\r\n");
  expect(await terminal.exited()).toBe(0);
  const lines = shown(terminal.screen).split("\n");
  expect(lines).toEqual([
    expect.stringMatching(/^[0-9a-f]{12}: Loading layer \[=+>\] +[\d.]+MB\/[\d.]+MB$/),
    "Loaded image: davit-busybox:latest",
  ]);
});

test("load from a pipe shows no figures where it prints into a file", async () => {
  await davit.output(["rmi", image]);
  const loaded = await davit.run(["load"], { stdin: await Bun.file(await busyboxArchive()).bytes() });
  expect(loaded).toEqual({ code: 0, stdout: "Loaded image: davit-busybox:latest\n", stderr: "" });
});

test("import says how much it has read when it takes longer, and nothing of that stays", async () => {
  const archive = await bigArchive();
  // A pipe that is slow to come.
  const script = '(cat "$1"; sleep 1.5; head -c 1048576 /dev/zero) | "$0" import - big:1';
  using terminal = openTerminal(["sh", "-c", script, davitBinary, archive], { env: davit.env, columns: 100 });
  await terminal.see(/sha256:[0-9a-f]{64}/);
  expect(await terminal.exited()).toBe(0);
  expect(terminal.screen).toMatch(/Importing [\d.]+MB \([\d.]+[kM]B\/s\)/);
  expect(shown(terminal.screen)).toMatch(/^sha256:[0-9a-f]{64}$/);
});

test("stats draws one picture over the other, follows containers, and ends by Ctrl-C", async () => {
  await davit.output(["run", "-d", "--name", "first", "--network", "none", image, "sleep", "600"]);
  using terminal = inTerminal(["stats"]);
  await terminal.see(/first +\d+\.\d\d% /, { times: 2 });
  await davit.output(["run", "-d", "--name", "second", "--network", "none", image, "sleep", "600"]);
  await terminal.see(/second +\d+\.\d\d% /);
  const both = shown(terminal.screen).split("\n");
  expect(both.map((line) => line.split(/ {2,}/)[1]?.split(" ")[0])).toEqual(
    expect.arrayContaining(["NAME", "first", "second"]),
  );
  expect(both.length).toBe(3);
  await davit.output(["rm", "-f", "first"]);
  // On a busy machine a redraw or two may come before the news.
  let frame = "first";
  for (let redraw = 0; redraw < 20 && frame.includes("first"); redraw += 1) {
    await terminal.see(/second +\d/, { times: countOf(terminal.screen, /second +\d/g) + 1 });
    frame = terminal.screen.split("\x1b[H").at(-2) ?? "";
  }
  expect(frame).not.toContain("first");
  terminal.type("\x03");
  expect(await terminal.exited()).toBe(130);
  await davit.output(["rm", "-f", "second"]);
});

function countOf(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}

describe.skipIf(missing !== undefined)("with a registry", () => {
  let registry: DockerRegistry;

  beforeAll(async () => {
    registry = await startDockerRegistry();
    await davit.output(["import", await bigArchive(), "big:1"]);
    for (const [source, name] of [
      ["big:1", "big"],
      [image, "busybox"],
    ] as const) {
      await davit.output(["tag", source, `${registry.host}/${name}`]);
      await davit.output(["push", "-q", `${registry.host}/${name}`]);
      await davit.output(["rmi", `${registry.host}/${name}`]);
    }
    await davit.output(["rmi", "big:1"]);
  });

  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
  });

  test.each([
    { columns: 130, rows: 30 },
    { columns: 60, rows: 10 },
    { columns: 20, rows: 3 },
  ])("pull shows its layers in a terminal of %j", async (size) => {
    const name = `${registry.host}/big:latest`;
    using terminal = inTerminal(["pull", name], size);
    await terminal.see(`\r\n${name}\r\n`);
    expect(await terminal.exited()).toBe(0);
    const lines = shown(terminal.screen, size.columns, size.rows).split("\n");
    const text = lines.join("");
    expect(text.replaceAll(" ", "")).toStartWith("latest:Pullingfrombig");
    expect(text).toMatch(/[0-9a-f]{12}: Pull/);
    expect(text.replaceAll(" ", "")).toContain(`Status:Downloadednewerimagefor${name}`);
    // Each layer once, whatever was drawn in between.
    expect(countOf(text, /[0-9a-f]{12}: /g)).toBe(1);
    await davit.output(["rmi", name]);
  });

  test("a terminal that changes its size while it pulls shows no line twice", async () => {
    const name = `${registry.host}/big:latest`;
    using terminal = inTerminal(["pull", name], { columns: 120, rows: 30 });
    await terminal.see("Pulling from big");
    for (const columns of [90, 140, 60, 120]) {
      terminal.resize(columns, 20);
      await Bun.sleep(30);
    }
    await terminal.see(`\r\n${name}\r\n`);
    expect(await terminal.exited()).toBe(0);
    expect(terminal.screen).toContain("Pull complete");
    await davit.output(["rmi", name]);
  });

  test("push shows its layers, too", async () => {
    const name = `${registry.host}/again:1`;
    await davit.output(["pull", "-q", `${registry.host}/big`]);
    await davit.output(["tag", `${registry.host}/big`, name]);
    using terminal = inTerminal(["push", name]);
    await terminal.see(/1: digest: sha256:[0-9a-f]{64} size: \d+\r\n/);
    expect(await terminal.exited()).toBe(0);
    expect(shown(terminal.screen).split("\n")).toEqual([
      `The push refers to repository [${registry.host}/again]`,
      expect.stringMatching(/^[0-9a-f]{12}: (Pushed|Mounted from big)$/),
      expect.stringMatching(/^1: digest: sha256:/),
    ]);
    await davit.output(["rmi", name, `${registry.host}/big`]);
  });

  test("run pulls what is missing in sight, and its container has the terminal then", async () => {
    const name = `${registry.host}/busybox`;
    await davit.output(["rmi", image]);
    using terminal = inTerminal(["run", "--rm", "-it", "--network", "none", name, "sh"]);
    await terminal.see("/ # ");
    terminal.type("echo it is $((40 + 2)); exit 5\n");
    await terminal.see("it is 42");
    expect(await terminal.exited()).toBe(5);
    const text = shown(terminal.screen);
    expect(text).toStartWith(`Unable to find image '${name}:latest' locally\nlatest: Pulling from busybox\n`);
    expect(text).toContain(`Status: Downloaded newer image for ${name}:latest\n`);
    expect(text).toEndWith("exit 5\nit is 42");
    await davit.output(["rmi", name]);
    await davit.loadBusybox();
  });

  test("run -d prints the container's id alone, and the image is there for good", async () => {
    const name = `${registry.host}/busybox:latest`;
    await davit.output(["rmi", image]);
    const started = await davit.run([
      "run",
      "-d",
      "--name",
      "quick",
      "--network",
      "none",
      name,
      "sleep",
      "600",
    ]);
    expect(started.code).toBe(0);
    expect(started.stdout).toMatch(/^[0-9a-f]{64}\n$/);
    expect(started.stderr).toContain(`Status: Downloaded newer image for ${name}\n`);
    expect(await davit.output(["images", "-q", name])).not.toBe("");
    expect(await davit.output(["exec", "quick", "echo", "here"])).toBe("here");
    await davit.output(["rm", "-f", "quick"]);
    await davit.output(["rmi", name]);
    await davit.loadBusybox();
  });
});
