/** What depends on the host: cgroup layouts, which runtime is chosen, what is missing. */
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeInstance } from "../../src/core/instance.ts";
import {
  type CgroupLayout,
  containerCgroup,
  detectCgroups,
  enterConmonCgroup,
  isFrozen,
  prepareCgroupMove,
  removeCgroup,
  removeInstanceCgroups,
  wasOomKilled,
} from "../../src/runtime/cgroups.ts";
import { findConmon } from "../../src/runtime/conmon.ts";
import { findRuntime } from "../../src/runtime/runtimes.ts";
import { findInit, readHostFacts } from "../../src/runtime/spec.ts";
import { readStats } from "../../src/runtime/stats.ts";
import { searchPath } from "./box.ts";

const layout = detectCgroups();
const instance = describeInstance(`/tmp/davit-test-${crypto.randomUUID()}`, "/tmp/davit-test-exec");

describe("cgroups", () => {
  test("are found where /proc says that they are mounted", () => {
    const mounts = readFileSync("/proc/mounts", "utf8");
    expect(layout.controllers.size).toBeGreaterThan(0);
    for (const mountPoint of layout.controllers.values()) expect(mounts).toContain(` ${mountPoint} cgroup`);
    expect(layout.version).toBe(mounts.includes(" cgroup rw") ? layout.version : "v2");
    expect(layout.own.size).toBeGreaterThan(0);
  });

  test("of a container lie below the instance's, wherever the user would like them", () => {
    expect(containerCgroup(instance, "x")).toBe(`${instance.cgroupParent}/x`);
    expect(containerCgroup(instance, "x", "a/b")).toBe("/a/b/x");
    expect(containerCgroup(instance, "x", "/a/../../../b")).toBe("/b/x");
  });

  test("of conmon are not those of our own session", async () => {
    // As if we were in a session's group; conmon is a sleep here.
    const mountPoint = layout.unified ?? layout.controllers.get("name=systemd") ?? "";
    const session: CgroupLayout = { ...layout, own: new Map([[mountPoint, "/user.slice/session-1.scope"]]) };
    const child = Bun.spawn(["sleep", "100"]);
    try {
      await prepareCgroupMove(() => layout);
      enterConmonCgroup(session, instance, child.pid);
      expect(readFileSync(`/proc/${child.pid}/cgroup`, "utf8")).toContain(
        `:${instance.cgroupParent}/conmon\n`,
      );
    } finally {
      child.kill(9);
      await child.exited;
      removeInstanceCgroups(layout, instance);
    }
    expect(existsSync(join(mountPoint, instance.cgroupParent))).toBe(false);
  });

  test("that are gone read as nothing", () => {
    expect(removeCgroup(layout, "/nosuch/davit")).toBe(true);
    expect(isFrozen(layout, "/nosuch/davit")).toBeUndefined();
    expect(wasOomKilled(layout, "/nosuch/davit")).toBe(false);
    const stats = readStats({ id: "x", name: "/x", layout, cgroupPath: "/nosuch/davit", pid: undefined });
    expect(stats.memory_stats).toEqual({});
    expect(stats.cpu_stats.cpu_usage.total_usage).toBe(0);
    expect(stats.precpu_stats.cpu_usage.total_usage).toBe(0);
  });
});

describe("the runtime", () => {
  const execRoot = "/run/x";
  const search = { execRoot, searchPath, cgroups: () => ({ ...layout, version: "v1" as const }) };

  test("is crun, but runc where crun refuses the cgroups", () => {
    expect(findRuntime(search)).toMatchObject({ name: "crun", stateDirectory: "/run/x/runtime-crun" });
    expect(findRuntime({ ...search, cgroups: () => ({ ...layout, version: "hybrid" }) }).name).toBe("runc");
    expect(findRuntime(search, "runc").name).toBe("runc");
  });

  test("can be given by path or by a configured name, each with its own records", () => {
    const { path } = findRuntime(search, "crun");
    expect(findRuntime(search, path)).toEqual({
      name: path,
      path,
      stateDirectory: `/run/x/runtime-${path.slice(1).replaceAll("/", "-")}`,
    });
    expect(findRuntime({ ...search, configured: { mine: { path } } }, "mine")).toEqual({
      name: "mine",
      path,
      stateDirectory: "/run/x/runtime-mine",
    });
  });

  test("that is unknown or missing is said so", () => {
    expect(() => findRuntime(search, "nosuch")).toThrow("unknown or invalid runtime name: nosuch");
    expect(() => findRuntime(search, "./crun")).toThrow("unknown or invalid runtime name: ./crun");
    expect(() => findRuntime({ ...search, configured: { mine: { path: "/nosuch" } } }, "mine")).toThrow(
      "the OCI runtime mine is not installed",
    );
  });
});

test("programs that are missing are named with their package", () => {
  const empty = mkdtempSync("/tmp/davit-test-path-");
  try {
    const fake = join(empty, "conmon");
    writeFileSync(fake, "");
    chmodSync(fake, 0o755);
    expect(findConmon(empty)).toBe(fake);
    rmSync(fake);
    expect(() => findConmon(empty)).toThrow("apt-get install conmon");
    expect(() => findInit(empty)).toThrow("apt-get install tini");
  } finally {
    rmSync(empty, { recursive: true });
  }
});

test("the host's facts are those of /proc", () => {
  const facts = readHostFacts(layout);
  expect(facts.kernel.major).toBeGreaterThan(3);
  expect(facts.capabilities).toContain("CAP_SYS_ADMIN");
  const limits = readFileSync("/proc/self/limits", "utf8");
  const nofile = limits.match(/^Max open files\s+\S+\s+(\S+)/m)?.[1];
  expect(String(facts.hardLimits.get("nofile"))).toBe(nofile ?? "");
  expect(facts.hardLimits.size).toBe(16);
});
