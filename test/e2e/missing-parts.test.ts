/** A machine on which something that davit needs is not there: it is named, with the way out. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busyboxArchive } from "../harness/images.ts";
import { type DavitInstance, davitBinary, type Finished, newInstance } from "../harness/instance.ts";
import { expectStateAgain, stateOf } from "./world.ts";

const image = "davit-busybox";
const timeout = 60_000;
const failed = (message: string) => ({
  code: 125,
  stdout: "",
  stderr: `davit: Error response from daemon: ${message}\n\nRun 'davit run --help' for more information\n`,
});

/** Runs davit where these files of the machine cannot be used: something else is mounted over them, for it alone. */
async function runWithout(
  davit: DavitInstance,
  paths: readonly string[],
  args: readonly string[],
): Promise<Finished> {
  const hide = paths.map((path) => `mount --bind /dev/null ${path}`).join(" && ");
  const child = Bun.spawn(
    ["unshare", "--mount", "sh", "-c", `${hide} && exec "$0" "$@"`, davitBinary, ...args],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe", env: { ...process.env, ...davit.env } },
  );
  const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { code, stdout, stderr };
}

/** The files that programs of this name are, wherever PATH has them. */
function filesOf(...names: string[]): string[] {
  return names.flatMap((name) =>
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/usr/libexec/podman", "/usr/lib/podman"]
      .map((directory) => join(directory, name))
      .filter((path) => Bun.which(path) !== null),
  );
}

function librariesOf(name: string): string[] {
  const listed = Bun.spawnSync(["sh", "-c", "/sbin/ldconfig -p"]).stdout.toString();
  return listed.split("\n").flatMap((line) => {
    const [, found, path] = /^\s*(\S+) .* => (\S+)$/.exec(line) ?? [];
    return found === name && path !== undefined ? [path] : [];
  });
}

const programs = [
  {
    title: "no OCI runtime at all",
    missing: () => filesOf("crun", "runc"),
    args: ["run", "--rm", image, "true"],
    message: "no OCI runtime is installed: crun or runc is needed (apt-get install crun)",
  },
  {
    title: "the runtime that was asked for",
    missing: () => filesOf("crun"),
    args: ["run", "--rm", "--runtime", "crun", image, "true"],
    message: "the OCI runtime crun is not installed (apt-get install crun)",
  },
  {
    title: "conmon",
    missing: () => filesOf("conmon"),
    args: ["run", "--rm", image, "true"],
    message: "conmon is not installed: it comes in the package `conmon` (apt-get install conmon)",
  },
  {
    title: "libnftables",
    missing: () => librariesOf("libnftables.so.1"),
    args: ["run", "--rm", "-p", "127.0.0.1::80", image, "true"],
    message:
      "publishing ports and bridge networks need libnftables.so.1, which is not installed; on Debian and Ubuntu: " +
      "apt-get install libnftables1; on Fedora: dnf install nftables; or use --network host or none",
  },
];

describe("what is missing is named, and nothing is left half-made", () => {
  test.each(programs)(
    "$title",
    async ({ missing, args, message }) => {
      await using davit = await newInstance();
      const paths = missing();
      expect(paths).not.toEqual([]);
      const before = await stateOf(davit);
      expect(await runWithout(davit, paths, args)).toEqual(failed(message));
      await expectStateAgain(davit, before);
      expect(await davit.output(["run", "--rm", image, "echo", "works"])).toBe("works");
    },
    timeout,
  );
});

test(
  "where crun is missing runc is taken",
  async () => {
    await using davit = await newInstance();
    const finished = await runWithout(davit, filesOf("crun"), [
      ...["run", "--name", "with-runc", "--network", "none", image, "echo", "works"],
    ]);
    expect(finished).toEqual({ code: 0, stdout: "works\n", stderr: "" });
    expect(await davit.output(["inspect", "--format", "{{.HostConfig.Runtime}}", "with-runc"])).toBe("runc");
  },
  timeout,
);

test(
  "without libnftables containers without a bridge still run",
  async () => {
    await using davit = await newInstance();
    for (const network of ["none", "host"]) {
      const args = ["run", "--rm", "--network", network, image, "echo", "works"];
      expect(await runWithout(davit, librariesOf("libnftables.so.1"), args)).toEqual({
        code: 0,
        stdout: "works\n",
        stderr: "",
      });
    }
  },
  timeout,
);

/** A file system on which overlay cannot write. */
function withoutOverlay(): { path: string } & AsyncDisposable {
  const path = mkdtempSync(join(tmpdir(), "davit-test-"));
  const mounted = Bun.spawnSync(["mount", "-t", "ramfs", "ramfs", path]);
  expect(mounted.stderr.toString()).toBe("");
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      expect(Bun.spawnSync(["umount", path]).stderr.toString()).toBe("");
      rmSync(path, { recursive: true });
    },
  };
}

test(
  "where overlay cannot be used vfs is chosen, info warns of it, and overlay2 by name says what is missing",
  async () => {
    await using disk = withoutOverlay();
    await using davit = await newInstance({ busybox: false, dataRoot: join(disk.path, "data") });
    const load = ["load", "--input", await busyboxArchive()];
    const { code, stdout, stderr } = await davit.run(["--storage-driver", "overlay2", ...load]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /^Error response from daemon: overlay2 cannot be used: the file system of the data root \(ramfs\) keeps no trusted\.\* extended attributes \(.*\); use another --data-root, or --storage-driver vfs \(which copies whole trees\)\n$/,
    );
    await davit.output(load);
    expect((await davit.run(["info"])).stderr).toContain("the vfs storage driver copies whole trees");
    // From then on it is the data root's own.
    expect(await davit.output(["run", "--rm", image, "echo", "works"])).toBe("works");
    expect(await davit.output(["info", "--format", "{{.Driver}}"])).toBe("vfs");
    const other = await davit.run(["--storage-driver", "overlay2", "ps"]);
    expect(other).toEqual({
      code: 1,
      stdout: "",
      stderr: `Error response from daemon: ${davit.instance.dataRoot} keeps its images and containers with vfs: use another --data-root for overlay2\n`,
    });
  },
  timeout,
);

test("who is not root is told in one line what is needed", async () => {
  await using davit = await newInstance();
  chmodSync(davit.directory, 0o755);
  const copy = join(davit.directory, "bin");
  mkdirSync(copy);
  await Bun.$`cp ${davitBinary} ${copy}/davit`;
  const as = (args: readonly string[]) =>
    Bun.spawnSync(
      ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", join(copy, "davit"), ...args],
      {
        env: { ...process.env, ...davit.env },
      },
    );
  const words =
    "this needs root: try 'sudo davit …' (running as an ordinary user comes with a later version)";
  const listed = as(["ps"]);
  expect([listed.exitCode, listed.stdout.toString(), listed.stderr.toString()]).toEqual([
    1,
    "",
    `${words}\n`,
  ]);
  const run = as(["run", image, "true"]);
  expect([run.exitCode, run.stdout.toString(), run.stderr.toString()]).toEqual([
    125,
    "",
    `davit: ${words}\n\nRun 'davit run --help' for more information\n`,
  ]);
  expect(as(["--version"]).exitCode).toBe(0);
  expect(as(["run", "--help"]).exitCode).toBe(0);
});
