/** An exec whose conmon is spawned while the engine is opened: it is used, or nothing is left of it. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type ContainerId, isContainerId } from "../../src/core/ids.ts";
import { bundlePath } from "../../src/core/instance.ts";
import type { Engine, ExecPlan } from "../../src/engine/engine.ts";
import { processesWithArgument } from "../../src/linux/process-search.ts";
import { until } from "../harness/eventually.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";

const attached: Omit<ExecPlan, "container"> = { tty: false, stdin: false, attached: true };

async function sleeper(davit: DavitInstance, name: string): Promise<ContainerId> {
  const id = await davit.output(["run", "-d", "--name", name, "davit-busybox", "sleep", "600"]);
  if (!isContainerId(id)) throw new Error(`not an id: ${id}`);
  return id;
}

/** Ids of the execs that have a directory. */
function directories(davit: DavitInstance, id: ContainerId): string[] {
  const directory = join(bundlePath(davit.instance, id), "exec");
  return existsSync(directory) ? readdirSync(directory) : [];
}

async function outputOf(engine: Engine, container: string, tty = false): Promise<string> {
  const config = { Cmd: ["echo", "mark"], AttachStdout: true, Tty: tty };
  const { Id } = await engine.execs.create(container, config);
  const streams = await engine.execs.start(Id, { tty, stdin: false });
  let text = "";
  for await (const { data } of streams.output) text += Buffer.from(data).toString();
  return text;
}

async function expectNoMonitor(davit: DavitInstance, id: ContainerId, exec: string): Promise<void> {
  const directory = join(bundlePath(davit.instance, id), "exec", exec);
  await until(async () => processesWithArgument(directory).length === 0);
}

test("it becomes the exec that is created next", async () => {
  await using davit = await newInstance();
  const id = await sleeper(davit, "one");
  const engine = await davit.engine({ exec: { container: "one", ...attached } });
  const [begun, ...others] = directories(davit, id);
  expect(others).toEqual([]);
  const { Id } = await engine.execs.create("one", { Cmd: ["sh", "-c", "exit 7"], AttachStdout: true });
  expect<string | undefined>(Id).toBe(begun);
  const streams = await engine.execs.start(Id, { tty: false, stdin: false });
  for await (const _ of streams.output);
  expect((await engine.execs.inspect(Id)).ExitCode).toBe(7);
  // It is good for one.
  expect(await outputOf(engine, "one")).toBe("mark\n");
});

test("two execs that are created before one starts are two", async () => {
  await using davit = await newInstance();
  await sleeper(davit, "one");
  const engine = await davit.engine({ exec: { container: "one", ...attached } });
  const codes = [3, 4];
  const ids = await Promise.all(
    codes.map(async (code) => {
      const config = { Cmd: ["sh", "-c", `exit ${code}`], AttachStdout: true };
      return (await engine.execs.create("one", config)).Id;
    }),
  );
  const seen: unknown[] = [];
  for (const id of ids) {
    const streams = await engine.execs.start(id, { tty: false, stdin: false });
    for await (const _ of streams.output);
    seen.push((await engine.execs.inspect(id)).ExitCode);
  }
  expect(seen).toEqual(codes);
});

test("it is put away when another container, or another kind of exec, is wanted", async () => {
  await using davit = await newInstance();
  const id = await sleeper(davit, "one");
  await sleeper(davit, "two");
  for (const [container, tty] of [
    ["two", false],
    ["one", true],
  ] as const) {
    const before = directories(davit, id);
    const engine = await davit.engine({ exec: { container: "one", ...attached } });
    const begun = directories(davit, id).filter((exec) => !before.includes(exec));
    expect(begun).toHaveLength(1);
    expect((await outputOf(engine, container, tty)).trim()).toBe("mark");
    const [exec = ""] = begun;
    await expectNoMonitor(davit, id, exec);
    // With a terminal it was made anew for the same exec.
    expect(directories(davit, id).includes(exec)).toBe(container === "one");
  }
});

test("it is put away when the exec is refused", async () => {
  await using davit = await newInstance();
  const id = await sleeper(davit, "one");
  const engine = await davit.engine({ exec: { container: "one", ...attached } });
  const [begun = ""] = directories(davit, id);
  expect(begun).not.toBe("");
  const refusal = engine.execs.create("one", { Cmd: [] });
  await expect(refusal).rejects.toThrow("No exec command specified");
  expect(directories(davit, id)).toEqual([]);
  await expectNoMonitor(davit, id, begun);
});

test("none is begun where none can be: the exec itself tells why", async () => {
  await using davit = await newInstance();
  const id = await sleeper(davit, "one");
  await davit.output(["pause", "one"]);
  for (const [container, words] of [
    ["one", "is paused, unpause the container before exec"],
    ["nope", "No such container: nope"],
  ] as const) {
    const engine = await davit.engine({ exec: { container, ...attached } });
    expect(directories(davit, id)).toEqual([]);
    await expect(outputOf(engine, container)).rejects.toThrow(words);
  }
  await davit.output(["unpause", "one"]);
});
