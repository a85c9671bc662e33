/** Progress by layer: in place on a terminal of any size, line by line elsewhere. */
import { describe, expect, test } from "bun:test";
import type { Io } from "../../src/cli/io.ts";
import { progressText } from "../../src/cli/progress/bar.ts";
import { progressDisplay, showAll, TransferFailure } from "../../src/cli/progress/display.ts";
import { hasErrno, Unavailable } from "../../src/core/errors.ts";
import type { ProgressMessage } from "../../src/engine/engine.ts";
import { fakeIo } from "./fake-io.ts";
import { Screen } from "./screen.ts";

const pulling: ProgressMessage[] = [
  { status: "Pulling from tools/web", id: "latest" },
  { status: "Already exists", id: "aaaa", progressDetail: {} },
  { status: "Pulling fs layer", id: "bbbb", progressDetail: {} },
  { status: "Pulling fs layer", id: "cccc", progressDetail: {} },
  { status: "Downloading", id: "bbbb", progressDetail: { current: 6_000_000, total: 30_000_000 } },
  { status: "Downloading", id: "cccc", progressDetail: { current: 500_000, total: 1_000_000 } },
  { status: "Download complete", id: "cccc", progressDetail: {} },
  { status: "Extracting", id: "bbbb", progressDetail: { current: 30_000_000, total: 30_000_000 } },
  { status: "Pull complete", id: "bbbb", progressDetail: {} },
  { status: "Pull complete", id: "cccc", progressDetail: {} },
  { status: "Digest: sha256:1234" },
  { status: "Status: Downloaded newer image for tools/web:latest" },
];

/** A terminal that is looked at whenever something was written to it. */
function terminal(width: number, height: number) {
  const size = { width, height };
  const screen = new Screen(width, height);
  const seen: string[] = [];
  let now = 0;
  const listeners = new Set<() => void>();
  const fake = fakeIo();
  const io: Io = {
    ...fake.io,
    stdout: {
      isTerminal: true,
      size: () => size,
      async write(data) {
        if (typeof data !== "string") throw new Error("text is expected");
        screen.write(data.replaceAll("\n", "\r\n"));
        seen.push(screen.visible.join("\n"));
      },
    },
    now: () => now,
    onSignal(_, listener) {
      const call = () => listener("SIGWINCH");
      listeners.add(call);
      return () => void listeners.delete(call);
    },
  };
  return {
    io,
    screen,
    seen,
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    resize(columns: number, rows: number) {
      Object.assign(size, { width: columns, height: rows });
      screen.resize(columns, rows);
      for (const listener of listeners) listener();
    },
    get listeners() {
      return listeners.size;
    },
  };
}

async function* slowly(messages: readonly ProgressMessage[], pass: (milliseconds: number) => void) {
  for (const message of messages) {
    pass(1000);
    yield message;
  }
}

describe("where there is no terminal", () => {
  async function plain(messages: readonly ProgressMessage[]): Promise<string> {
    const fake = fakeIo();
    await showAll(
      progressDisplay(fake.io, fake.io.stdout),
      slowly(messages, () => {}),
    );
    return fake.stdout;
  }

  test("what has happened is said line by line, and figures that change are not", async () => {
    expect(await plain(pulling)).toBe(`latest: Pulling from tools/web
aaaa: Already exists
bbbb: Pulling fs layer
cccc: Pulling fs layer
cccc: Download complete
bbbb: Pull complete
cccc: Pull complete
Digest: sha256:1234
Status: Downloaded newer image for tools/web:latest
`);
  });

  test("text of a stream stands as it is, and what is for programs is left out", async () => {
    expect(await plain([{ stream: "Loaded image: a:1\n" }, { aux: { Tag: "1" } }, { status: "" }])).toBe(
      "Loaded image: a:1\n\n",
    );
  });

  test("a terminal that can only print is treated as none", async () => {
    const fake = fakeIo({ terminal: { width: 80, height: 24 }, env: { TERM: "dumb" } });
    await showAll(
      progressDisplay(fake.io, fake.io.stdout),
      slowly(pulling, () => {}),
    );
    expect(fake.stdout).not.toContain("\x1b");
  });
});

describe("on a terminal", () => {
  test("each layer has one line, which changes in place", async () => {
    const { io, screen, seen, pass } = terminal(130, 30);
    await showAll(progressDisplay(io, io.stdout), slowly(pulling, pass));
    expect(seen).toContain(
      [
        "latest: Pulling from tools/web",
        "aaaa: Already exists",
        "bbbb: Downloading [==========>                                        ]      6MB/30MB",
        "cccc: Downloading [=========================>                         ]    500kB/1MB",
        "",
      ].join("\n"),
    );
    expect(screen.text).toBe(`latest: Pulling from tools/web
aaaa: Already exists
bbbb: Pull complete
cccc: Pull complete
Digest: sha256:1234
Status: Downloaded newer image for tools/web:latest`);
  });

  test("many messages make few pictures, and the last state is always shown", async () => {
    const { io, screen, seen } = terminal(100, 30);
    const many = Array.from({ length: 10_000 }, (_, at) => ({
      status: "Downloading",
      id: `layer${at % 5}`,
      progressDetail: { current: at + 1, total: 10_000 },
    }));
    await showAll(
      progressDisplay(io, io.stdout),
      slowly(many, () => {}),
    );
    expect(seen.length).toBeLessThan(10);
    expect(screen.text.split("\n").at(-1)).toContain(" 10kB/10kB");
  });

  test.each([20, 40, 57, 60, 80, 111, 250])(
    "no line is as wide as a terminal of %i columns",
    async (width) => {
      const { io, seen, pass } = terminal(width, 30);
      const long = pulling.map((message) =>
        message.progressDetail === undefined ? message : { ...message, id: `${message.id}-with-a-long-name` },
      );
      await showAll(progressDisplay(io, io.stdout), slowly(long.slice(1, 9), pass));
      for (const line of seen.flatMap((picture) => picture.split("\n"))) {
        expect([...line].length).toBeLessThan(width);
      }
    },
  );

  test("more layers than lines: those that move are shown, then all of them", async () => {
    const { io, screen, seen, pass } = terminal(80, 6);
    const ids = Array.from({ length: 20 }, (_, at) => `layer${String(at).padStart(2, "0")}`);
    const messages = [
      ...ids.map((id) => ({ status: "Waiting", id, progressDetail: {} })),
      ...ids.slice(0, 3).map((id) => ({ status: "Pull complete", id, progressDetail: {} })),
      { status: "Downloading", id: "layer10", progressDetail: { current: 1, total: 10 } },
      { status: "Downloading", id: "layer19", progressDetail: { current: 1, total: 10 } },
    ];
    const end = ids.map((id) => ({ status: "Pull complete", id, progressDetail: {} }));
    const display = progressDisplay(io, io.stdout);
    await showAll(display, slowly([...messages, ...end, { status: "Status: done" }], pass));
    const picture = seen.find((text) => text.includes("layer19: Downloading")) ?? "";
    expect(picture.split("\n")).toEqual([
      "layer00: Pull complete",
      "layer01: Pull complete",
      expect.stringMatching(/^layer10: Downloading \[=+> +\] {7}1B\/10B$/),
      expect.stringMatching(/^layer19: Downloading/),
      "… and 16 more (1 done)",
      "",
    ]);
    expect(screen.text).toBe([...ids.map((id) => `${id}: Pull complete`), "Status: done"].join("\n"));
  });

  test("it follows the terminal's size, wider and narrower", async () => {
    const shown = terminal(60, 20);
    const { io, screen, resize, pass } = shown;
    const display = progressDisplay(io, io.stdout);
    await io.stdout.write("before\n");
    const show = async (current: number) => {
      pass(1000);
      await display.show({
        status: "Downloading",
        id: "aaaa",
        progressDetail: { current, total: 100_000_000 },
      });
    };
    await show(1_000_000);
    expect(screen.text).toMatch(/^before\naaaa: Downloading \[> {13}\] {6}1MB\/100MB$/);
    resize(140, 20);
    await Bun.sleep(20);
    expect(screen.text).toMatch(/^before\naaaa: Downloading \[> {50}\] {6}1MB\/100MB$/);
    await show(50_000_000);
    await display.finish();
    expect(screen.text).toMatch(/^before\naaaa: Downloading \[={25}> {25}\] {5}50MB\/100MB$/);
    expect(shown.listeners).toBe(0);
  });

  test("lines that wrap in a terminal that became narrower are taken back whole", async () => {
    const { io, resize, pass } = terminal(120, 20);
    const written: string[] = [];
    const stdout = {
      ...io.stdout,
      write: async (data: string | Uint8Array) => void written.push(String(data)),
    };
    const display = progressDisplay({ ...io, stdout }, stdout);
    for (const id of ["aaaa", "bbbb"]) {
      pass(1000);
      await display.show({ status: "Downloading", id, progressDetail: { current: 5, total: 10 } });
    }
    written.length = 0;
    resize(50, 20);
    await Bun.sleep(20);
    // Both lines had 86 columns: they stand in two rows each now.
    expect(written.join("")).toStartWith("\r\x1b[4A\x1b[J");
    await display.finish();
  });

  test("a last word on a layer takes the place of its figures", async () => {
    const { io, screen, pass } = terminal(100, 20);
    const messages = [
      { status: "Copying", id: "aaaa", progressDetail: { current: 1, total: 2 } },
      { status: "Copied", id: "aaaa" },
      { status: "Copied all" },
    ];
    await showAll(progressDisplay(io, io.stdout), slowly(messages, pass));
    expect(screen.text).toBe("aaaa: Copied\nCopied all");
  });

  test("what a server calls a layer does not move the cursor", async () => {
    const { io, screen, pass } = terminal(100, 20);
    const hostile = "\x1b[2Jgone\r\n\x1b]0;title\x07";
    const messages = [
      { status: "Waiting", id: "aaaa", progressDetail: {} },
      { status: hostile, id: hostile, progressDetail: { current: 1, total: 2 } },
      { status: hostile, id: "latest" },
    ];
    await showAll(progressDisplay(io, io.stdout), slowly(messages, pass));
    expect(screen.text.split("\n").length).toBe(3);
    expect(screen.text).toStartWith("aaaa: Waiting\n�[2Jgone��");
  });

  test("a note stands below the layers for as long as the work goes on", async () => {
    const { io, screen, pass } = terminal(80, 20);
    const display = progressDisplay(io, io.stdout);
    await display.show({ status: "Loading layer", id: "aaaa", progressDetail: { current: 1, total: 2 } });
    pass(1000);
    await display.note("Loading 12MB (3MB/s)");
    expect(screen.visible.at(-2)).toBe("Loading 12MB (3MB/s)");
    await display.show({ stream: "Loaded image: x\n" });
    await display.finish();
    expect(screen.text).not.toContain("3MB/s");
    expect(screen.text).toEndWith("\nLoaded image: x");
  });

  test("a terminal that went away is told once, by an error", async () => {
    const { io, pass } = terminal(80, 20);
    const gone = Object.assign(new Error("gone"), { code: "EPIPE" });
    const stdout = { ...io.stdout, write: () => Promise.reject(gone) };
    const failure = await showAll(progressDisplay({ ...io, stdout }, stdout), slowly(pulling, pass)).catch(
      (error) => error,
    );
    expect(hasErrno(failure, "EPIPE")).toBe(true);
  });
});

describe("what goes wrong", () => {
  const failing = async (before: readonly ProgressMessage[], error: Error) => {
    const fake = fakeIo();
    async function* messages() {
      yield* before;
      throw error;
    }
    const failure = await showAll(progressDisplay(fake.io, fake.io.stdout), messages()).catch(
      (thrown) => thrown,
    );
    return { failure, stdout: fake.stdout };
  };

  test("before the first word it is the engine's answer, after that a part of the progress", async () => {
    const error = new Unavailable("registry is gone");
    expect((await failing([], error)).failure).toBe(error);
    const later = await failing([{ status: "Pulling" }], error);
    expect(later.failure).toBeInstanceOf(TransferFailure);
    expect(later).toEqual({
      failure: expect.objectContaining({ message: error.message }),
      stdout: "Pulling\n",
    });
  });

  test("a message with an error ends the work", async () => {
    const fake = fakeIo();
    const messages = slowly(
      [{ status: "a" }, { errorDetail: { message: "broken" }, error: "broken" }],
      () => {},
    );
    const failure = await showAll(progressDisplay(fake.io, fake.io.stdout), messages).catch((error) => error);
    expect(failure).toEqual(expect.objectContaining({ name: "TransferFailure", message: "broken" }));
  });
});

describe("figures", () => {
  test.each([
    [{}, ""],
    [{ current: 5 }, "      5B"],
    [{ current: 3, units: "s" }, "3 s"],
    [{ current: 0, total: 1000 }, "[>                                                  ]       0B/1kB"],
    [{ current: 999, total: 1000 }, "[=================================================> ]     999B/1kB"],
    [{ current: 1000, total: 1000 }, "[==================================================>]      1kB/1kB"],
    [{ current: 2000, total: 1000 }, "[==================================================>]      2kB"],
  ])("%j is shown as docker shows it", (detail, text) => {
    expect(progressText(detail, 120)).toBe(text);
  });
});
