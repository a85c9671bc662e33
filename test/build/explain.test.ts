/** `davit build --explain`: what broke the cache. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rowsOfLine, writeInputs } from "../../src/build/explain/records.ts";
import { describeInstance } from "../../src/core/instance.ts";
import type { BuildRequest } from "../../src/engine/build.ts";
import { openState } from "../../src/state/state.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

setDefaultTimeout(60_000);

let workshop: Workshop;
beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
});

/** Why each step was built anew, by its name. */
async function reasons(
  context: string,
  request: Partial<BuildRequest> = {},
): Promise<Record<string, string>> {
  const { events, error } = await workshop.tryBuild(context, { explain: true, ...request });
  if (error !== undefined) throw error;
  const names = new Map(
    events.flatMap((event) => (event.kind === "vertex" ? [[event.vertex, event.name] as const] : [])),
  );
  return Object.fromEntries(
    events.flatMap((event) =>
      event.kind === "explanation" ? [[names.get(event.vertex) ?? "", event.reason]] : [],
    ),
  );
}

let projects = 0;

function project(): string {
  return workshop.context({
    Dockerfile: `FROM davit-busybox AS build
ARG VERSION=1
COPY src /src
RUN cat /src/* > /app; echo ${++projects}
FROM davit-busybox
WORKDIR /srv
COPY --from=build /app /srv/
RUN cat /srv/app
`,
    "src/a": "a\n",
    "src/b": "b\n",
  });
}

describe("the reason", () => {
  test("is that it is new, the first time, and none when all is cached", async () => {
    const context = project();
    const first = await reasons(context);
    expect(first["[build 2/3] COPY src /src"]).toBe("it has not been built here before");
    expect(await reasons(context)).toEqual({});
  });

  test("is a file, and what follows from it says so", async () => {
    const context = project();
    await reasons(context);
    writeFileSync(join(context, "src", "a"), "other\n");
    const run = `[build 3/3] RUN cat /src/* > /app; echo ${projects}`;
    expect(await reasons(context)).toEqual({
      "[build 2/3] COPY src /src": "src/a has changed",
      [run]: "follows from [build 2/3] COPY src /src",
      "[stage-1 3/4] COPY --from=build /app /srv/": "app has changed",
      "[stage-1 4/4] RUN cat /srv/app": "follows from [stage-1 3/4] COPY --from=build /app /srv/",
    });
  });

  test("is files that are new, gone, or have other modes", async () => {
    const context = project();
    await reasons(context);
    writeFileSync(join(context, "src", "c"), "c\n");
    rmSync(join(context, "src", "b"));
    chmodSync(join(context, "src", "a"), 0o755);
    expect((await reasons(context))["[build 2/3] COPY src /src"]).toBe(
      "src/c is new; src/b is gone; src/a has another mode or owner",
    );
    mkdirSync(join(context, "src", "many"));
    for (const name of "defgh") writeFileSync(join(context, "src", "many", name), name);
    expect((await reasons(context))["[build 2/3] COPY src /src"]).toBe(
      "6 files are new: src/many, src/many/d, src/many/e and 3 more",
    );
  });

  test("is a build argument or a variable, by its name and never by its value", async () => {
    const context = workshop.context({
      Dockerfile: `FROM davit-busybox\nARG TOKEN\nENV MODE=fast\nRUN echo ${++projects}\n`,
    });
    const step = `[2/2] RUN echo ${projects}`;
    await reasons(context, { buildArguments: { TOKEN: "one" } });
    expect(await reasons(context, { buildArguments: { TOKEN: "two-is-secret" } })).toEqual({
      [step]: "build argument TOKEN has changed",
    });
    writeFileSync(
      join(context, "Dockerfile"),
      `FROM davit-busybox\nARG TOKEN\nENV MODE=slow\nRUN echo ${projects}\n`,
    );
    expect(await reasons(context, { buildArguments: { TOKEN: "two-is-secret" } })).toEqual({
      [step]: "variable MODE has changed",
    });
  });

  test("is the instruction", async () => {
    const context = project();
    await reasons(context);
    const dockerfile = (mark: string) =>
      `FROM davit-busybox\nRUN echo ${mark} ${projects}\nUSER 1000\nRUN id -u ${projects > 0 ? "" : "x"}\n`;
    writeFileSync(join(context, "Dockerfile"), dockerfile("one"));
    await reasons(context);
    writeFileSync(join(context, "Dockerfile"), dockerfile("two").replace("USER 1000", "USER 2000"));
    expect(await reasons(context)).toEqual({
      [`[2/3] RUN echo two ${projects}`]: "command: changed",
      "[3/3] RUN id -u": "user: changed",
    });
  });

  test("is the base image", async () => {
    const make = (mark: string) =>
      workshop.build(
        { Dockerfile: `FROM davit-busybox\nRUN echo ${mark} > /mark\n` },
        { names: ["a-base:1"] },
      );
    await make("one");
    const context = workshop.context({ Dockerfile: "FROM a-base:1\nRUN cat /mark\n" });
    await reasons(context);
    await make("two");
    expect(await reasons(context)).toEqual({
      "[2/2] RUN cat /mark": "image docker.io/library/a-base:1 is another one now",
    });
  });

  test("is that the cache was not to be used, or is empty", async () => {
    const context = workshop.context({ Dockerfile: `FROM davit-busybox\nRUN echo ${++projects}\n` });
    const step = `[2/2] RUN echo ${projects}`;
    await reasons(context, { outputs: [] });
    expect(await reasons(context, { noCache: true, outputs: [] })).toEqual({
      [step]: "the cache was not to be used (--no-cache)",
    });
    await workshop.davit.output(["builder", "prune", "--all", "-f"]);
    expect(await reasons(context)).toEqual({ [step]: "its result is in the cache no more" });
  });

  test("is found in another checkout of the same", async () => {
    const files = { Dockerfile: `FROM davit-busybox\nCOPY f /${++projects}\n`, f: "1" };
    await reasons(workshop.context(files));
    expect(await reasons(workshop.context({ ...files, f: "2" }))).toEqual({
      [`[2/2] COPY f /${projects}`]: "f has changed",
    });
  });

  test("is told against the last build that went well", async () => {
    const context = workshop.context({
      Dockerfile: `FROM davit-busybox\nCOPY ok /${++projects}\nRUN test "$(cat /${projects})" = yes\n`,
      ok: "yes",
    });
    await reasons(context);
    writeFileSync(join(context, "ok"), "no");
    await expect(reasons(context)).rejects.toThrow("did not complete successfully");
    writeFileSync(join(context, "ok"), "yes");
    expect(await reasons(context)).toEqual({});
  });
});

test("of what is noted the latest is kept, and no more than there is room for", () => {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-"));
  try {
    const state = openState(describeInstance(join(directory, "data"), join(directory, "run")));
    const row = (place: number, bytes: number) => ({
      line: "line",
      place: String(place),
      title: "RUN x",
      key: "k",
      inputs: new Uint8Array(bytes),
    });
    const places = () => [...rowsOfLine(state, "line").keys()].map(Number).sort((a, b) => a - b);
    writeInputs(
      state,
      Array.from({ length: 5100 }, (_, place) => row(place, 10)),
    );
    expect(places()).toHaveLength(5000);
    expect(places()[0]).toBe(100);
    // 64 MB in all: the oldest make room.
    for (let place = 6000; place < 6020; place += 1) writeInputs(state, [row(place, 4 << 20)]);
    expect(places()).toEqual(Array.from({ length: 16 }, (_, at) => 6004 + at));
    state.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("the command says it at its end", async () => {
  const context = workshop.context({
    Dockerfile: `FROM davit-busybox\nCOPY f /\nRUN sleep 0.2; echo ${++projects}\n`,
    f: "1",
  });
  await workshop.davit.output(["build", context]);
  writeFileSync(join(context, "f"), "2");
  const { code, stderr } = await workshop.davit.run(["build", "--explain", "--progress=quiet", context]);
  expect(code).toBe(0);
  expect(stderr).toContain(
    " 1 step came from the cache. Built anew:\n  [2/3] COPY f /\n      f has changed\n",
  );
  expect(stderr).toContain("      follows from [2/3] COPY f /\n");
  expect(stderr).toMatch(
    / Of \d+\.\ds, most time went to:\n +\d+\.\ds {2}\[3\/3\] RUN sleep 0\.2; echo \d+\n/,
  );
});
