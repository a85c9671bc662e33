/** Attach and logs. */
import { expect, test } from "bun:test";
import { collect, contract, eventually, expectFailure, readUntil } from "./subjects.ts";

const both = { stdout: true, stderr: true } as const;

contract("attach", (subject) => {
  test("attached before the start, nothing of the output is missed", async () => {
    const outcome = await subject.run(["sh", "-c", "echo out; echo err >&2; exit 3"]);
    expect(outcome).toEqual({ code: 3, stdout: "out\n", stderr: "err\n" });
  });

  test("output without a line feed at its end arrives", async () => {
    expect((await subject.run(["printf", "no line feed"])).stdout).toBe("no line feed");
  });

  test("bytes arrive as they were written", async () => {
    await using container = await subject.create({
      Cmd: ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' '\\377'; printf '\\000\\001\\015\\012\\200'"],
      AttachStdout: true,
    });
    const streams = await subject.engine.containers.attach(container.id, { ...both, stream: true });
    await subject.engine.containers.start(container.id);
    const chunks: Uint8Array[] = [];
    for await (const { data } of streams.output) chunks.push(data);
    const bytes = Buffer.concat(chunks);
    expect(bytes.length).toBe(300_005);
    expect(bytes.subarray(0, 300_000).every((byte) => byte === 255)).toBe(true);
    expect([...bytes.subarray(300_000)]).toEqual([0, 1, 13, 10, 128]);
  });

  test("stdin goes in and its end is seen", async () => {
    const outcome = await subject.run(["sh", "-c", "cat; echo end"], {}, "line 1\nline 2");
    expect(outcome.stdout).toBe("line 1\nline 2end\n");
  });

  test("a megabyte goes through stdin and back", async () => {
    const input = "0123456789abcdef".repeat(1 << 16);
    const outcome = await subject.run(["sh", "-c", "cat"], {}, input);
    expect(outcome.stdout.length).toBe(input.length);
    expect(outcome.stdout === input).toBe(true);
  });

  test("without an open stdin the process reads its end at once", async () => {
    expect((await subject.run(["sh", "-c", "cat; echo end"])).stdout).toBe("end\n");
  });

  test("attached later, output from then on arrives, and both ways work", async () => {
    await using container = await subject.start(
      ["sh", "-c", "echo early; while read x; do echo got $x; done"],
      {
        OpenStdin: true,
      },
    );
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("early") || undefined);
    const streams = await subject.engine.containers.attach(container.id, {
      ...both,
      stdin: true,
      stream: true,
    });
    const output = streams.output[Symbol.asyncIterator]();
    await streams.write(Buffer.from("one\n"));
    expect(await readUntil(output, "\n")).toBe("got one\n");
    streams.close();
    // The process outlives who was attached.
    expect((await subject.engine.containers.inspect(container.id)).State.Running).toBe(true);
    const again = await subject.engine.containers.attach(container.id, {
      ...both,
      stdin: true,
      stream: true,
    });
    await again.write(Buffer.from("two\n"));
    expect(await readUntil(again.output[Symbol.asyncIterator](), "\n")).toBe("got two\n");
    again.close();
  });

  test("attached with logs, what was printed before comes first", async () => {
    await using container = await subject.start(["sh", "-c", "echo early; read x; echo late"], {
      OpenStdin: true,
    });
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("early") || undefined);
    const streams = await subject.engine.containers.attach(container.id, {
      ...both,
      stdin: true,
      stream: true,
      logs: true,
    });
    const output = streams.output[Symbol.asyncIterator]();
    expect(await readUntil(output, "early\n")).toBe("early\n");
    await streams.write(Buffer.from("go\n"));
    expect(await readUntil(output, "late\n")).toBe("late\n");
    streams.close();
  });

  test("two can be attached to one container and both see its output", async () => {
    await using container = await subject.start(["sh", "-c", "read x; echo seen $x; sleep 0.2"], {
      OpenStdin: true,
    });
    const first = await subject.engine.containers.attach(container.id, {
      ...both,
      stdin: true,
      stream: true,
    });
    const second = await subject.engine.containers.attach(container.id, { ...both, stream: true });
    await first.write(Buffer.from("it\n"));
    const [one, two] = await Promise.all([collect(first.output), collect(second.output)]);
    expect([one.stdout, two.stdout]).toEqual(["seen it\n", "seen it\n"]);
  });

  test("only the streams that were asked for come", async () => {
    await using container = await subject.create({ Cmd: ["sh", "-c", "echo out; echo err >&2"] });
    const streams = await subject.engine.containers.attach(container.id, { stderr: true, stream: true });
    await subject.engine.containers.start(container.id);
    expect(await collect(streams.output)).toEqual({ stdout: "", stderr: "err\n" });
  });

  test("the output ends with the container", async () => {
    await using container = await subject.start(["sleep", "60"]);
    const streams = await subject.engine.containers.attach(container.id, { ...both, stream: true });
    await subject.engine.containers.kill(container.id);
    expect(await collect(streams.output)).toEqual({ stdout: "", stderr: "" });
  });

  test("with a TTY everything is one stream, and lines end as on a terminal", async () => {
    const outcome = await subject.run(["sh", "-c", "test -t 1 && echo tty; echo err >&2"], { Tty: true });
    expect(outcome).toEqual({ code: 0, stdout: "tty\r\nerr\r\n", stderr: "" });
  });

  test("a TTY has the size it was given, and learns of a new one", async () => {
    await using container = await subject.create({
      Cmd: ["sh", "-c", "trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done"],
      Tty: true,
      OpenStdin: true,
    });
    const streams = await subject.engine.containers.attach(container.id, {
      ...both,
      stdin: true,
      stream: true,
    });
    await subject.engine.containers.start(container.id);
    const output = streams.output[Symbol.asyncIterator]();
    await readUntil(output, "up");
    await subject.engine.containers.resize(container.id, { width: 123, height: 45 });
    expect(await readUntil(output, "45 123")).toContain("45 123");
    streams.close();
  });

  test("Ctrl-C on a TTY reaches the process", async () => {
    await using container = await subject.create({
      Cmd: ["sh", "-c", "trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.05; done"],
      Tty: true,
      OpenStdin: true,
      AttachStdin: true,
    });
    const streams = await subject.engine.containers.attach(container.id, {
      ...both,
      stdin: true,
      stream: true,
    });
    await subject.engine.containers.start(container.id);
    const output = streams.output[Symbol.asyncIterator]();
    await readUntil(output, "up");
    await streams.write(Buffer.from("\x03"));
    await readUntil(output, "caught");
    expect(await subject.exitCodeOf(container.id)).toBe(9);
  });

  test("attaching to what is not there fails", async () => {
    await expectFailure(
      subject.engine.containers.attach("nope", { stdout: true }),
      "notFound",
      "No such container: nope",
    );
  });

  test("attaching to a paused container is a conflict", async () => {
    await using container = await subject.start(["sleep", "60"]);
    await subject.engine.containers.pause(container.id);
    await expectFailure(
      subject.engine.containers.attach(container.id, { ...both, stream: true }),
      "conflict",
      `container ${container.id} is paused, unpause the container before attach`,
      `Container ${container.id} is paused, unpause the container before attach`,
    );
  });
});

contract("logs", (subject) => {
  const script = "for i in 1 2 3 4 5; do echo out $i; done; echo err >&2";

  test("both streams are kept apart and in order", async () => {
    await using container = await subject.start(["sh", "-c", script]);
    await subject.exitCodeOf(container.id);
    expect(await subject.logsOf(container.id)).toEqual({
      stdout: "out 1\nout 2\nout 3\nout 4\nout 5\n",
      stderr: "err\n",
    });
  });

  test("one stream can be asked for alone", async () => {
    await using container = await subject.start(["sh", "-c", script]);
    await subject.exitCodeOf(container.id);
    const logs = await collect(subject.engine.containers.logs(container.id, { stderr: true }));
    expect(logs).toEqual({ stdout: "", stderr: "err\n" });
  });

  test.each([
    [0, ""],
    [2, "out 4\nout 5\n"],
    [5, "out 1\nout 2\nout 3\nout 4\nout 5\n"],
    [100, "out 1\nout 2\nout 3\nout 4\nout 5\n"],
  ])("the last %d lines", async (tail, expected) => {
    await using container = await subject.start(["sh", "-c", "for i in 1 2 3 4 5; do echo out $i; done"]);
    await subject.exitCodeOf(container.id);
    const logs = await collect(subject.engine.containers.logs(container.id, { ...both, tail }));
    expect(logs.stdout).toBe(expected);
  });

  test("with timestamps each line begins with its time", async () => {
    await using container = await subject.start(["sh", "-c", "echo one; echo two"]);
    await subject.exitCodeOf(container.id);
    const logs = await collect(subject.engine.containers.logs(container.id, { ...both, timestamps: true }));
    const lines = logs.stdout.split("\n").slice(0, -1);
    const pattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (.*)$/;
    expect(lines.map((line) => pattern.exec(line)?.[2])).toEqual(["one", "two"]);
    const { State } = await subject.engine.containers.inspect(container.id);
    const first = Date.parse(pattern.exec(lines[0] ?? "")?.[1] ?? "");
    expect(first).toBeGreaterThanOrEqual(Date.parse(State.StartedAt) - 1000);
    expect(first).toBeLessThanOrEqual(Date.parse(State.FinishedAt) + 1000);
  });

  test("since and until cut by time", async () => {
    await using container = await subject.start([
      "sh",
      "-c",
      "echo one; sleep 0.4; echo two; sleep 0.4; echo three",
    ]);
    await subject.exitCodeOf(container.id);
    const { containers } = subject.engine;
    const stamped = await collect(containers.logs(container.id, { ...both, timestamps: true }));
    const times = stamped.stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => Date.parse(line.split(" ")[0] ?? "") / 1000);
    const [one = 0, two = 0, three = 0] = times;
    const since = await collect(containers.logs(container.id, { ...both, since: (one + two) / 2 }));
    expect(since.stdout).toBe("two\nthree\n");
    const until = await collect(containers.logs(container.id, { ...both, until: (two + three) / 2 }));
    expect(until.stdout).toBe("one\ntwo\n");
    const between = await collect(
      containers.logs(container.id, { ...both, since: (one + two) / 2, until: (two + three) / 2 }),
    );
    expect(between.stdout).toBe("two\n");
  });

  test("following gives what was printed, what is printed, and ends with the container", async () => {
    await using container = await subject.start([
      "sh",
      "-c",
      "echo one; sleep 0.5; echo two >&2; sleep 0.2; echo three",
    ]);
    const logs = await collect(subject.engine.containers.logs(container.id, { ...both, follow: true }));
    expect(logs).toEqual({ stdout: "one\nthree\n", stderr: "two\n" });
  });

  test("following from the tail leaves the past out", async () => {
    await using container = await subject.start([
      "sh",
      "-c",
      "echo one; echo two; while [ ! -e /go ]; do sleep 0.05; done; echo three",
    ]);
    await eventually(async () => (await subject.logsOf(container.id)).stdout.includes("two") || undefined);
    const frames = subject.engine.containers.logs(container.id, { ...both, follow: true, tail: 1 });
    const iterator = frames[Symbol.asyncIterator]();
    expect(await readUntil(iterator, "two\n")).toBe("two\n");
    await subject.exec(container.id, ["touch", "/go"]);
    expect(await readUntil(iterator, "three\n")).toBe("three\n");
    expect((await iterator.next()).done).toBe(true);
  });

  test("following can be given up", async () => {
    await using container = await subject.start(["sh", "-c", "echo one; sleep 60"]);
    const controller = new AbortController();
    const frames = subject.engine.containers.logs(container.id, {
      ...both,
      follow: true,
      signal: controller.signal,
    });
    const iterator = frames[Symbol.asyncIterator]();
    await readUntil(iterator, "one\n");
    const next = iterator.next();
    controller.abort();
    await next.then(
      ({ done }) => expect(done).toBe(true),
      (error: unknown) => expect(error).toBeInstanceOf(Error),
    );
  });

  test("a long line arrives whole", async () => {
    await using container = await subject.start([
      "sh",
      "-c",
      "head -c 100000 /dev/zero | tr '\\0' x; echo; echo after",
    ]);
    await subject.exitCodeOf(container.id);
    const { stdout } = await subject.logsOf(container.id);
    expect(stdout === `${"x".repeat(100_000)}\nafter\n`).toBe(true);
  });

  test("output that ends without a line feed is kept as it is", async () => {
    await using container = await subject.start(["sh", "-c", "echo whole; printf part"]);
    await subject.exitCodeOf(container.id);
    expect((await subject.logsOf(container.id)).stdout).toBe("whole\npart");
  });

  test("empty lines and carriage returns are kept", async () => {
    await using container = await subject.start(["printf", "a\\n\\n\\r\\nb\\rc\\n"]);
    await subject.exitCodeOf(container.id);
    expect((await subject.logsOf(container.id)).stdout).toBe("a\n\n\r\nb\rc\n");
  });

  test("the log of a TTY is what the terminal showed", async () => {
    await using container = await subject.start(["sh", "-c", "echo one; echo two >&2"], { Tty: true });
    await subject.exitCodeOf(container.id);
    expect(await subject.logsOf(container.id)).toEqual({ stdout: "one\r\ntwo\r\n", stderr: "" });
  });

  test("a container that was never started has an empty log", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    expect(await subject.logsOf(container.id)).toEqual({ stdout: "", stderr: "" });
  });

  test("the logs of what is not there cannot be read", async () => {
    await expectFailure(subject.logsOf("nope"), "notFound", "No such container: nope");
  });

  test("some stream has to be asked for", async () => {
    await using container = await subject.create({ Cmd: ["true"] });
    await expectFailure(
      collect(subject.engine.containers.logs(container.id, {})),
      "invalid",
      /^(Bad parameters: )?you must choose at least one stream$/,
    );
  });

  test("with the log driver none there is nothing to read", async () => {
    await using container = await subject.start(["echo", "hello"], {
      HostConfig: { LogConfig: { Type: "none" } },
    });
    await subject.exitCodeOf(container.id);
    await expectFailure(
      subject.logsOf(container.id),
      "notImplemented",
      "configured logging driver does not support reading",
    );
  });
});
