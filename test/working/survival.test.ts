/** Commands on working containers that are killed: the next one puts right what they have left. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isMountPoint } from "../../src/linux/mounts.ts";
import { openState } from "../../src/state/state.ts";
import { allWorking } from "../../src/state/working-containers.ts";
import { until } from "../harness/eventually.ts";
import { busyboxArchive } from "../harness/images.ts";
import { leftOf, newInstance } from "../harness/instance.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

const image = "davit-busybox";

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench();
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

function records(): { name: string; status: string }[] {
  const state = openState(bench.davit.instance);
  try {
    return allWorking(state).map(({ name, state: { status } }) => ({ name, status }));
  } finally {
    state.close();
  }
}

/** Containers that were run have conmon's exit command tidy up after them. */
async function nothingIsLeft(): Promise<void> {
  await until(async () => leftOf(bench.davit.instance).length === 0, 5_000).catch(() => {});
  expect(leftOf(bench.davit.instance)).toEqual([]);
}

/** Runs a command that is killed at a point. */
async function killedAt(point: string, ...words: string[]): Promise<void> {
  const { code } = await bench.run(words, { env: { DAVIT_FAULT: point } });
  expect(code).toBe(137);
}

describe("from", () => {
  for (const point of ["working:recorded", "snapshot:reserved", "snapshot:made", "working:prepared"]) {
    test(`that is killed at ${point} leaves no container, and its name is free`, async () => {
      await killedAt(point, "from", "--name", "half", image);
      expect(records()).toEqual([{ name: "half", status: "making" }]);
      expect(await bench.output("containers", "-q")).toBe("");
      expect(await bench.output("from", "--name", "half", image)).toBe("half");
      expect(await bench.output("run", "half", "--", "ls", "/etc/passwd")).toBe("/etc/passwd");
      await bench.output("rm", "half");
      await nothingIsLeft();
    });
  }
});

describe("rm", () => {
  for (const point of ["working:removing", "snapshot:condemned", "working:removed"]) {
    test(`that is killed at ${point} is finished by the next command`, async () => {
      await bench.output("from", "--name", "going", image);
      await bench.output("run", "going", "--", "touch", "/x");
      await killedAt(point, "rm", "going");
      expect(await bench.output("containers", "-q")).toBe("");
      await bench.output("from", "--name", "going", "scratch");
      await bench.output("rm", "going");
      expect(records()).toEqual([]);
      await nothingIsLeft();
    });
  }
});

describe("commit", () => {
  for (const point of ["working:layer", "load:unpacked", "load:synced"]) {
    test(`that is killed at ${point} has made no image, and the container is as it was`, async () => {
      await bench.output("from", "--name", "kept", image);
      await bench.output("run", "kept", "--", "touch", "/x");
      await killedAt(point, "commit", "-q", "kept", "half:1");
      expect(await bench.davit.output(["images", "-q", "half"])).toBe("");
      await bench.output("commit", "-q", "--rm", "kept", "whole:1");
      expect(await bench.davit.output(["run", "--rm", "--network", "none", "whole:1", "ls", "/x"])).toBe(
        "/x",
      );
      await bench.davit.output(["rmi", "whole:1"]);
      await nothingIsLeft();
      expect(await bench.davit.output(["system", "check"])).toContain("no damage found");
    });
  }
});

describe("run", () => {
  test("that is killed leaves nothing running, and its mounts to nobody", async () => {
    await bench.output("from", "--name", "busy", image);
    const root = await bench.output("mount", "busy");
    await bench.output("umount", "busy");
    const script = "touch /began; sleep 600";
    const running = bench.davit.spawn(["buildah", "run", "busy", "--", "sh", "-c", script]);
    await until(async () => existsSync(join(root, "began")));
    running.kill("SIGKILL");
    await running.exited;
    expect(isMountPoint(root)).toBe(true);
    expect(existsSync(join(root, "etc/hosts"))).toBe(true);
    // Any command ends what still runs; the next one on working containers unmounts.
    await bench.output("copy", "busy", "/etc/hostname", "/copied");
    expect(isMountPoint(root)).toBe(false);
    await bench.output("commit", "-q", "busy", "after-the-kill");
    const list = ["run", "--rm", "--network", "none", "after-the-kill", "ls", "/began", "/copied"];
    expect(await bench.davit.output(list)).toBe("/began\n/copied");
    const mounted = await bench.output("mount", "busy");
    expect(existsSync(join(mounted, "etc/hosts"))).toBe(false);
    await bench.output("rm", "busy");
    await nothingIsLeft();
  });

  test("that is interrupted ends its program", async () => {
    await bench.output("from", "--name", "stopped", image);
    const running = bench.davit.spawn([
      "buildah",
      "run",
      "stopped",
      "--",
      "sh",
      "-c",
      "echo began; sleep 600",
    ]);
    const reader = running.stdout.getReader();
    expect(Buffer.from((await reader.read()).value ?? new Uint8Array()).toString()).toBe("began\n");
    running.kill("SIGINT");
    expect(await running.exited).toBe(130);
    await bench.output("rm", "stopped");
    await nothingIsLeft();
  });
});

describe("several at once", () => {
  test("make, change and remove containers side by side", async () => {
    const work = async (number: number) => {
      const name = await bench.output("from", image);
      await bench.output("run", "--network", "none", name, "--", "sh", "-c", `echo ${number} > /number`);
      await bench.output("config", "--label", `number=${number}`, name);
      const id = await bench.output("commit", "-q", name, `many:${number}`);
      await bench.output("rm", name);
      return { name, id };
    };
    const made = await Promise.all([1, 2, 3, 4].map(work));
    expect(new Set(made.map(({ name }) => name)).size).toBe(4);
    for (const number of [1, 2, 3, 4]) {
      const run = ["run", "--rm", "--network", "none", `many:${number}`, "cat", "/number"];
      expect(await bench.davit.output(run)).toBe(String(number));
    }
    await nothingIsLeft();
  });

  test("wait for each other where they must", async () => {
    await bench.output("from", "--name", "shared", image);
    const labels = [1, 2, 3, 4, 5, 6].map((number) =>
      bench.output("config", "--label", `l${number}=x`, "shared"),
    );
    await Promise.all([...labels, bench.output("run", "--network", "none", "shared", "--", "touch", "/x")]);
    const found = await bench.output("inspect", "--format", "{{len .OCIv1.Config.Labels}}", "shared");
    expect(found).toBe("6");
    const removed = bench.output("rm", "shared");
    const late = bench.run(["commit", "-q", "shared", "late"]);
    await removed;
    const { code, stderr } = await late;
    expect([0, 125]).toContain(code);
    if (code !== 0) expect(stderr).toContain("container not known");
  });
});

test("a driver that keeps whole trees does as well", async () => {
  await using davit = await newInstance({ busybox: false });
  const run = (...words: string[]) => davit.output(["--storage-driver", "vfs", ...words]);
  await run("load", "-q", "-i", await busyboxArchive());
  const buildah = (...words: string[]) => run("buildah", ...words);
  const work = await buildah("from", image);
  await buildah("run", "--network", "none", work, "--", "sh", "-c", "echo x > /x; rm /etc/group");
  const root = await buildah("mount", work);
  expect(existsSync(join(root, "etc/hosts"))).toBe(false);
  expect(await buildah("mount")).toBe(`${work} ${root}`);
  await buildah("umount", work);
  expect(await buildah("mount")).toBe("");
  const ids = [1, 2].map(() => buildah("commit", "-q", "--timestamp", "5", work, "whole"));
  expect(await ids[0]).toBe((await ids[1]) ?? "");
  const script = "cat /x; ls /etc/group 2>/dev/null || echo gone";
  expect(await run("run", "--rm", "--network", "none", "whole", "sh", "-c", script)).toBe("x\ngone");
  await buildah("rm", work);
});
