/** Builds side by side, builds that are killed, and other storage drivers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noteLayer, resultById } from "../../src/build/cache/results.ts";
import { findResult } from "../../src/build/solver/lookup.ts";
import type { ChainId, DiffId } from "../../src/core/ids.ts";
import { describeInstance } from "../../src/core/instance.ts";
import { openContent } from "../../src/images/content.ts";
import { currentBootId } from "../../src/linux/boot.ts";
import { openState } from "../../src/state/state.ts";
import { openSnapshotter } from "../../src/storage/open.ts";
import { renameCommitted } from "../../src/storage/rename.ts";
import { ownershipOf } from "../harness/kernel.ts";
import { tearDown } from "../harness/teardown.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

let workshop: Workshop;
beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
});

const base = "FROM davit-busybox\n";

function rows(sql: string): unknown[] {
  const state = openState(workshop.davit.instance);
  try {
    return state.db.query(sql).all();
  } finally {
    state.close();
  }
}

describe("the command", () => {
  test("shows the steps as BuildKit does, and prints the id when it is quiet", async () => {
    const context = workshop.context({ Dockerfile: `${base}RUN echo one; echo two >&2\n` });
    const plain = await workshop.davit.run(["build", "--progress=plain", "-t", "shown", context]);
    expect(plain.code).toBe(0);
    expect(plain.stderr).toMatch(/^#\d+ \[2\/2\] RUN echo one; echo two >&2$/m);
    expect(plain.stderr).toMatch(/^#\d+ \d+\.\d+ one$/m);
    expect(plain.stderr).toMatch(/^#\d+ \d+\.\d+ two$/m);
    expect(plain.stderr).toMatch(/^#\d+ naming to docker\.io\/library\/shown:latest done$/m);
    const again = await workshop.davit.run(["bud", "--progress=plain", context]);
    expect(again.stderr).toMatch(/^#\d+ CACHED$/m);
    const quiet = await workshop.davit.run([
      "image",
      "build",
      "-q",
      "--iidfile",
      join(context, "id"),
      context,
    ]);
    expect(quiet.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(quiet.stderr).toBe("");
    expect(readFileSync(join(context, "id"), "utf8")).toBe(quiet.stdout.trim());
  });

  test("says what failed, where, and exits with 1", async () => {
    const context = workshop.context({ Dockerfile: `${base}RUN echo why; false\n` });
    const { code, stderr } = await workshop.davit.run(["build", "--progress=plain", context]);
    expect(code).toBe(1);
    expect(stderr).toContain(" > [2/2] RUN echo why; false:\n");
    expect(stderr).toContain("   2 | >>> RUN echo why; false\n");
    expect(stderr).toEndWith(
      'ERROR: failed to build: failed to solve: process "/bin/sh -c echo why; false" did not complete successfully: exit code: 1\n',
    );
  });

  test("takes a Dockerfile or a tar from its standard input", async () => {
    const dockerfile = await workshop.davit.run(["build", "-q", "-"], { stdin: `${base}RUN true\n` });
    expect(dockerfile.code).toBe(0);
    const context = workshop.context({ Dockerfile: `${base}COPY a /a\n`, a: "x" });
    const tar = Bun.spawnSync(["tar", "-cz", "-C", context, "."]).stdout;
    const archive = await workshop.davit.run(["build", "-q", "-t", "piped", "-"], {
      stdin: new Uint8Array(tar),
    });
    expect(archive.stderr).toBe("");
    expect(await workshop.run("piped", "cat", "/a")).toBe("x");
  });

  test("checks a Dockerfile without building it", async () => {
    const context = workshop.context({ Dockerfile: "from davit-busybox AS Stage\nRUN true\n" });
    const { code, stdout } = await workshop.davit.run(["build", "--check", "--progress=quiet", context]);
    expect(code).toBe(1);
    expect(stdout).toContain("WARNING: StageNameCasing");
  });

  test("refuses flags that it cannot obey", async () => {
    for (const flags of [
      ["--memory", "1g"],
      ["--isolation", "default"],
    ]) {
      const { code, stderr } = await workshop.davit.run(["build", ...flags, workshop.davit.directory]);
      expect(code).not.toBe(0);
      expect(stderr).toContain("not supported yet by davit");
    }
  });

  test("writes a directory, and nothing where the build fails", async () => {
    const context = workshop.context({ Dockerfile: "FROM scratch\nCOPY a /b\n", a: "1" });
    const out = join(workshop.davit.directory, "out");
    await workshop.davit.output(["build", "-o", out, context]);
    expect(readFileSync(join(out, "b"), "utf8")).toBe("1");
    const bad = workshop.context({ Dockerfile: `${base}RUN false\n` });
    const tar = join(workshop.davit.directory, "never.tar");
    await workshop.davit.run(["build", "-o", `type=tar,dest=${tar}`, bad]);
    expect(readdirSync(workshop.davit.directory).filter((name) => name.startsWith("never"))).toEqual([]);
  });

  test("verifies that a second build gives the same, or names what differs", async () => {
    const same = workshop.context({ Dockerfile: `${base}RUN date > /dev/null; touch /made\n` });
    const verified = await workshop.davit.run(["build", "-q", "--verify", same]);
    expect(verified.stderr).toContain("verified: built twice");
    const other = workshop.context({ Dockerfile: `${base}RUN cat /proc/sys/kernel/random/uuid > /id\n` });
    const refused = await workshop.davit.run(["build", "-q", "--verify", other]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("differs at /id");
  });

  test("lists its cache and throws it away", async () => {
    const listed = await workshop.davit.output(["build-cache", "ls"]);
    expect(listed).toContain("RUN echo one; echo two >&2");
    const kept = await workshop.davit.output(["builder", "prune", "--force", "--filter", "unused-for=1h"]);
    expect(kept).toBe("Total reclaimed space: 0B");
    await workshop.davit.output(["builder", "prune", "--force", "--all"]);
    expect(rows("SELECT * FROM build_results")).toEqual([]);
    expect((await workshop.davit.run(["system", "check"])).stdout).toContain("no damage found");
    expect(await workshop.run("shown", "echo", "still")).toBe("still");
  });
});

describe("builds at the same time", () => {
  test("run a step that they share once", async () => {
    const context = workshop.context({
      Dockerfile: `${base}RUN --mount=type=cache,target=/c sleep 1; echo ran >> /c/count; cat /c/count\nRUN --mount=type=cache,target=/c cat /c/count > /count\n`,
    });
    const builds = ["one", "two", "three"].map((name) =>
      workshop.davit.run(["build", "-q", "-t", name, context]),
    );
    const ids = (await Promise.all(builds)).map(({ stdout, stderr }) => stdout + stderr);
    expect(new Set(ids)).toEqual(new Set([ids[0] ?? ""]));
    expect(await workshop.run("one", "cat", "/count")).toBe("ran");
  });

  test("find a result that another one is just giving its layer's name", async () => {
    const context = workshop.context({ Dockerfile: `${base}RUN echo renamed > /renamed\n` });
    await workshop.build(context, { names: ["renamed"] });
    const state = openState(workshop.davit.instance);
    try {
      const snapshots = openSnapshotter(state, undefined);
      const content = openContent(workshop.davit.instance.dataRoot);
      const made = state.db
        .query<{ id: string; key: string; snapshot: string; parent: ChainId; diff_id: DiffId }, []>(
          `SELECT r.id, r.key, r.snapshot, r.diff_id, s.parent FROM build_results r JOIN snapshots s ON s.key = r.snapshot
             ORDER BY r.rowid DESC LIMIT 1`,
        )
        .get();
      if (made === null) throw new Error("no result was recorded");
      const rename = (from: string, to: string) =>
        state.transaction(() => {
          renameCommitted(state, snapshots.driver, from, to);
          noteLayer(state, made.id, { diffId: made.diff_id, snapshot: to });
        });
      // As before its build had named the image; and as that does it, in the middle of the look.
      rename(made.snapshot, `build-${made.id}`);
      const has = snapshots.has.bind(snapshots);
      snapshots.has = (name) => {
        if (name === `build-${made.id}`) rename(name, made.snapshot);
        return has(name);
      };
      using session = content.openSession();
      const rooms = { instance: workshop.davit.instance, state, snapshots, bootId: currentBootId() };
      const descriptor = { mediaType: "", digest: made.diff_id, size: 0 };
      const layer = { kind: "image", chainId: made.parent, diffId: made.diff_id, descriptor } as const;
      const input = { key: "", fileTime: 0n, layers: [layer] };
      const context = { session, elsewhere: undefined, signal: new AbortController().signal };
      const found = await findResult(rooms, made.key, input, context);
      expect(found?.layers.at(-1)).toEqual({ kind: "result", id: made.id });
      expect(resultById(state, made.id)?.snapshot).toBe(made.snapshot);
    } finally {
      state.close();
    }
  });
});

describe("a build that is killed", () => {
  const points = ["build:worked", "build:begun", "build:committed", "build:synced"];
  for (const point of points) {
    test(`at ${point} leaves nothing that the next one minds`, async () => {
      const context = workshop.context({
        Dockerfile: `${base}COPY a /a\nRUN echo ${point} > /b\n`,
        a: point,
      });
      const killed = await workshop.davit.run(["build", "-q", context], { env: { DAVIT_FAULT: point } });
      expect(killed.code).toBe(137);
      expect((await workshop.davit.run(["build", "-q", "-t", "after", context])).stderr).toBe("");
      expect(await workshop.run("after", "cat", "/b")).toBe(point);
      expect(rows("SELECT * FROM build_results WHERE maker IS NOT NULL")).toEqual([]);
      expect(rows("SELECT * FROM snapshots WHERE state IN ('preparing', 'active')")).toEqual([]);
    });
  }

  test("in the middle of a RUN leaves no process, mount or address after the next command", async () => {
    const context = workshop.context({
      Dockerfile: `${base}RUN --mount=type=secret,id=s echo begun; sleep 4711\n`,
    });
    writeFileSync(join(context, "s"), "hidden");
    const child = workshop.davit.spawn([
      "build",
      "--progress=plain",
      "--secret",
      `id=s,src=${join(context, "s")}`,
      context,
    ]);
    let said = "";
    for await (const chunk of child.stderr) {
      said += Buffer.from(chunk).toString();
      if (said.includes(" begun")) break;
    }
    child.kill("SIGKILL");
    await child.exited;
    await workshop.davit.output(["ps"]);
    await workshop.davit.output(["build", "-q", workshop.context({ Dockerfile: `${base}RUN true\n` })]);
    expect(Bun.spawnSync(["pgrep", "-f", "sleep 4711"]).stdout.toString()).toBe("");
    const mounted = readFileSync("/proc/mounts", "utf8").includes(workshop.davit.directory);
    expect(mounted).toBe(false);
    expect(rows("SELECT * FROM operations")).toEqual([]);
    expect(rows("SELECT * FROM endpoints")).toEqual([]);
    const builds = join(workshop.davit.instance.execRoot, "builds");
    expect(existsSync(builds) ? readdirSync(builds) : []).toEqual([]);
  });

  test("by Ctrl-C ends its steps and says so", async () => {
    const context = workshop.context({ Dockerfile: `${base}RUN echo begun; sleep 4712\n` });
    const child = workshop.davit.spawn(["build", "--progress=plain", context]);
    let said = "";
    for await (const chunk of child.stderr) {
      said += Buffer.from(chunk).toString();
      if (said.includes(" begun")) break;
    }
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(Bun.spawnSync(["pgrep", "-f", "sleep 4712"]).stdout.toString()).toBe("");
    expect(rows("SELECT * FROM operations")).toEqual([]);
  });
});

const gitDaemon = Bun.spawnSync(["git", "--exec-path"]).stdout.toString().trim();
const hasGit = gitDaemon !== "" && existsSync(join(gitDaemon, "git-daemon"));
if (!hasGit) console.warn("SKIPPED: git sources: git is not installed");

describe.skipIf(!hasGit)("git", () => {
  test("gives contexts and sources, with the time of their commit", async () => {
    const repository = workshop.context({
      "service/Dockerfile": `${base}COPY . /src\n`,
      "service/a": "1",
      other: "2",
    });
    const env = {
      ...process.env,
      GIT_COMMITTER_DATE: "2001-02-03T04:05:06Z",
      GIT_AUTHOR_DATE: "2001-02-03T04:05:06Z",
    };
    const git = (...words: string[]) =>
      Bun.spawnSync(["git", "-c", "user.name=a", "-c", "user.email=a@b", ...words], { cwd: repository, env });
    git("init", "-q", "-b", "main");
    git("add", ".");
    expect(git("commit", "-q", "-m", "x").exitCode).toBe(0);
    const commit = git("rev-parse", "HEAD").stdout.toString().trim();
    using probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    const { port } = probe;
    probe.stop(true);
    const daemon = Bun.spawn(
      [
        "git",
        "daemon",
        "--listen=127.0.0.1",
        `--port=${port}`,
        "--export-all",
        `--base-path=${workshop.davit.directory}`,
        "--reuseaddr",
      ],
      { stdio: ["ignore", "ignore", "ignore"] },
    );
    try {
      const url = `git://127.0.0.1:${port}/${repository.split("/").at(-1)}`;
      const built = await eventuallyBuilt(["build", "-q", "-t", "of-git", `${url}#main:service`]);
      expect(built).toStartWith("sha256:");
      expect(await workshop.run("of-git", "sh", "-c", "cat /src/a; stat -c %Y /src/a")).toBe("1981173106");
      const context = workshop.context({ Dockerfile: `${base}ADD ${url}#${commit} /repo\n` });
      await workshop.davit.output(["build", "-q", "-t", "added", context]);
      expect(await workshop.run("added", "cat", "/repo/other")).toBe("2");
    } finally {
      daemon.kill();
      await daemon.exited;
    }
  });

  /** The daemon takes a moment to listen. */
  async function eventuallyBuilt(words: string[]): Promise<string> {
    for (let attempt = 1; ; attempt += 1) {
      const { code, stdout, stderr } = await workshop.davit.run(words);
      if (code === 0) return stdout;
      if (attempt === 20) throw new Error(stderr);
      await Bun.sleep(100);
    }
  }
});

describe("vfs", () => {
  test("gives the same image as overlay2", async () => {
    const context = workshop.context({
      Dockerfile: `${base}COPY . /src\nRUN rm /bin/true && mkdir /new && echo x > /new/f\n`,
      a: "1",
    });
    const { result } = await workshop.build(context);
    const dataRoot = join(workshop.davit.directory, "vfs-data");
    const execRoot = join(workshop.davit.directory, "vfs-exec");
    const vfs = ["--data-root", dataRoot, "--exec-root", execRoot, "--storage-driver", "vfs"];
    const archive = join(workshop.davit.directory, "base.tar");
    await workshop.davit.output(["save", "-o", archive, "davit-busybox"]);
    const env = { DAVIT_DATA_ROOT: "", DAVIT_EXEC_ROOT: "" };
    try {
      await workshop.davit.output([...vfs, "load", "-q", "-i", archive], { env });
      const built = await workshop.davit.output([...vfs, "build", "-q", "--network=none", context], { env });
      expect(built).toBe(result.imageId);
    } finally {
      await tearDown(ownershipOf(describeInstance(dataRoot, execRoot)));
    }
  });
});
