/** Every command has a help that can be read, and a place in the tree. */
import { describe, expect, test } from "bun:test";
import { runCli } from "../../src/cli/cli.ts";
import { commonCommands, groups, otherCommands } from "../../src/cli/commands.ts";
import { Conflict, StartFailure, Unavailable } from "../../src/core/errors.ts";
import { fakeIo } from "./fake-io.ts";

async function davit(...words: string[]) {
  const fake = fakeIo();
  const status = await runCli(words, {
    program: "davit",
    version: "1.2.3",
    io: fake.io,
    openEngine: async () => {
      throw new Unavailable(
        "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
      );
    },
  });
  return { status, stdout: fake.stdout, stderr: fake.stderr };
}

const paths = [
  ...[...commonCommands, ...otherCommands].map((command) => [command.name]),
  ...groups.flatMap((group) => group.children.map((child) => [group.name, child.name])),
];

describe("help", () => {
  for (const path of paths) {
    test(`${path.join(" ")} --help`, async () => {
      const { status, stdout, stderr } = await davit(...path, "--help");
      expect([status, stderr]).toEqual([0, ""]);
      expect(stdout).toStartWith(`Usage:  davit ${path.join(" ")}`);
      const wide = stdout
        .split("\n")
        .filter((line) => line.length > 80 && /^ {2,}(-|\S* --| {6})/.test(line));
      expect(wide).toEqual([]);
      expect(stdout).toContain(`\nExamples:\n  davit `);
      expect(await davit("help", ...path)).toEqual({ status, stdout, stderr });
    });
  }

  test("the program's own names every command and group", async () => {
    const { status, stdout } = await davit("--help");
    expect(status).toBe(0);
    for (const [name] of paths) expect(stdout).toContain(`\n  ${name} `);
    expect((await davit("help")).stdout).toBe(stdout);
    expect(await davit()).toEqual({ status: 0, stdout: "", stderr: stdout });
  });

  test("a group's names its commands", async () => {
    const { stdout } = await davit("volume", "--help");
    for (const name of ["create", "inspect", "ls", "prune", "rm"]) expect(stdout).toContain(`\n  ${name} `);
    expect((await davit("volume")).stderr).toBe(stdout);
  });

  test("--version", async () => {
    expect(await davit("--version")).toEqual({ status: 0, stdout: "davit version 1.2.3\n", stderr: "" });
  });
});

describe("what goes wrong", () => {
  test("a mistyped command is answered with the nearest", async () => {
    const { status, stderr } = await davit("strat");
    expect(status).toBe(1);
    expect(stderr).toStartWith("davit: unknown command: davit strat\n\nDid you mean 'davit start' or ");
    expect((await davit("pul")).stderr).toContain("'davit pull'");
    expect((await davit("manifest", "insepct")).stderr).toContain("Did you mean 'davit manifest inspect'?");
    expect((await davit("volume", "lss")).stderr).toContain("Did you mean 'davit volume ls'?");
    expect((await davit("qqqqqq")).stderr).not.toContain("Did you mean");
  });

  test("an engine that is not there is said in one line", async () => {
    expect(await davit("ps")).toEqual({
      status: 1,
      stdout: "",
      stderr: "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?\n",
    });
  });

  test("a flag that is known but cannot be obeyed is refused before anything is done", async () => {
    const { status, stderr } = await davit("run", "--cpu-count", "2", "image");
    expect(status).toBe(125);
    expect(stderr).toStartWith("--cpu-count is not supported yet by davit\n");
  });

  test("run ends with 125 for the engine's failures, and with the shell's codes for the program's", async () => {
    const fails = async (failure: Error) => {
      const fake = fakeIo();
      const status = await runCli(["run", "image"], {
        program: "davit",
        version: "",
        io: fake.io,
        openEngine: async () => {
          throw failure;
        },
      });
      return [status, fake.stderr.split("\n")[0]];
    };
    expect(await fails(new Conflict("taken"))).toEqual([125, "davit: Error response from daemon: taken"]);
    expect(await fails(new StartFailure("not there", 127))).toEqual([
      127,
      "davit: Error response from daemon: not there",
    ]);
    expect(await fails(new StartFailure("refused", 126))).toEqual([
      126,
      "davit: Error response from daemon: refused",
    ]);
    expect(await fails(new StartFailure("odd", 128))).toEqual([
      125,
      "davit: Error response from daemon: odd",
    ]);
  });
});
