/** Agents of `--ssh`: one of the user's, or one of the build's own with the keys that it is given. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startAgent } from "../../src/build/steps/ssh-agent.ts";
import { messageOf } from "../../src/core/errors.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

const missing = ["ssh-agent", "ssh-add", "ssh-keygen"].filter((program) => Bun.which(program) === null);
if (missing.length > 0) console.warn(`SKIPPED: keys of --ssh: not installed: ${missing.join(", ")}`);
const searchPath = process.env.PATH ?? "";

let workshop: Workshop;
let scratch = "";
beforeAll(async () => {
  workshop = await openWorkshop();
  scratch = mkdtempSync(join(tmpdir(), "davit-test-ssh-"));
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

function run(command: string[], env: Record<string, string> = {}): string {
  const { stdout, stderr } = Bun.spawnSync(command, { env: { PATH: searchPath, ...env }, stdin: "ignore" });
  return stdout.toString() + stderr.toString();
}

function newKey(name: string, passphrase = ""): { path: string; fingerprint: string } {
  const path = join(scratch, name);
  run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", path]);
  return { path, fingerprint: run(["ssh-keygen", "-l", "-f", path]).split(" ")[1] ?? "" };
}

const keyOf = (path: string) => ({ name: path, content: readFileSync(path) });

/** Command lines of agents whose socket lies below the instance. */
function agents(): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    const path = `/proc/${pid}/cmdline`;
    if (!/^\d+$/.test(pid) || !existsSync(path)) return [];
    try {
      const line = readFileSync(path, "utf8");
      return line.includes("ssh-agent") && line.includes(workshop.davit.instance.dataRoot) ? [line] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

describe.skipIf(missing.length > 0)("an agent of the build's own", () => {
  test("holds the keys that it is given, and ends", async () => {
    const [one, two] = [newKey("one"), newKey("two")];
    const rooms = { instance: workshop.davit.instance, searchPath };
    let socket = "";
    {
      await using agent = await startAgent(rooms, [keyOf(one.path), keyOf(two.path)]);
      ({ socket } = agent);
      const listed = run(["ssh-add", "-l"], { SSH_AUTH_SOCK: socket });
      expect(listed).toContain(one.fingerprint);
      expect(listed).toContain(two.fingerprint);
      expect(agents()).toHaveLength(1);
    }
    expect(agents()).toEqual([]);
    expect(existsSync(socket)).toBe(false);
  });

  test("refuses what is no key, and keys with a passphrase", async () => {
    const rooms = { instance: workshop.davit.instance, searchPath };
    const locked = newKey("locked", "a passphrase");
    await expect(startAgent(rooms, [keyOf(locked.path)])).rejects.toThrow(`failed to parse ${locked.path}`);
    const nothing = { name: "nothing", content: Buffer.from("not a key\n") };
    await expect(startAgent(rooms, [nothing])).rejects.toThrow("failed to parse nothing");
    expect(agents()).toEqual([]);
  });

  test("says what is missing", async () => {
    const rooms = { instance: workshop.davit.instance, searchPath: "/nonexistent" };
    await expect(startAgent(rooms, [])).rejects.toThrow("ssh-agent is not installed");
  });

  test("is there for the steps that ask for it, and nothing of the key is in the image", async () => {
    const key = newKey("deploy");
    const dockerfile =
      "FROM davit-busybox\nRUN --mount=type=ssh,id=git test -S $SSH_AUTH_SOCK && echo there > /said\n";
    const path = workshop.context({ Dockerfile: dockerfile });
    const { code, stderr } = await workshop.davit.run([
      "build",
      "--progress=plain",
      `--ssh=git=${key.path}`,
      "-t",
      "keyed",
      path,
    ]);
    expect([code, code === 0 ? "" : stderr]).toEqual([0, ""]);
    expect(await workshop.run("keyed", "cat", "/said")).toBe("there");
    expect(agents()).toEqual([]);
    const secret = readFileSync(key.path, "utf8").split("\n")[1] ?? "";
    const blobs = join(workshop.davit.instance.dataRoot, "content/blobs/sha256");
    for (const name of readdirSync(blobs)) {
      expect(readFileSync(join(blobs, name)).includes(secret)).toBe(false);
    }
  });

  test("ends with a build that is aborted or fails", async () => {
    const key = newKey("aborted");
    const { error } = await workshop.tryBuild(
      { Dockerfile: "FROM davit-busybox\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK && exit 7\n" },
      { ssh: [{ id: "default", keys: [keyOf(key.path)] }] },
    );
    expect(messageOf(error)).toContain("exit code: 7");
    expect(agents()).toEqual([]);
  });

  test("is not mixed with sockets, and needs its files", async () => {
    const key = newKey("mixed");
    const path = workshop.context({ Dockerfile: "FROM scratch\n" });
    const missingKey = await workshop.davit.run(["build", "--ssh=default=/no/such/key", path]);
    expect(missingKey.stderr).toContain("stat /no/such/key: no such file or directory");
    await using agent = await startAgent({ instance: workshop.davit.instance, searchPath }, []);
    const mixed = await workshop.davit.run(["build", `--ssh=default=${agent.socket},${key.path}`, path]);
    expect(mixed.stderr).toContain("invalid combination of keys and sockets");
  });
});
