/**
 * Programs of another platform, and what runs them: Debian's arm64 busybox and qemu, fetched once into the user's
 * cache. The kernel is told of qemu for as long as a test needs it.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

export interface ForeignPrograms {
  /** Static, for linux/arm64. */
  readonly busybox: string;
  /** Runs arm64 programs on amd64. */
  readonly qemu: string;
}

/** The programs, or why there are none. Fetching them for the first time takes some seconds. */
export function foreignPrograms(): ForeignPrograms | { missing: string } {
  if (process.arch !== "x64") return { missing: "only for amd64 machines" };
  if (process.getuid?.() !== 0) return { missing: "not root" };
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "davit-test", "foreign");
  const programs = { busybox: join(cache, "busybox-arm64"), qemu: join(cache, "qemu-aarch64-static") };
  if (existsSync(programs.busybox) && existsSync(programs.qemu)) return programs;
  const work = mkdtempSync(join(tmpdir(), "davit-test-foreign-"));
  try {
    mkdirSync(cache, { recursive: true });
    fetchProgram(work, "arm64", "busybox-static", "./bin/busybox", programs.busybox);
    fetchProgram(work, "amd64", "qemu-user-static", "./usr/bin/qemu-aarch64-static", programs.qemu);
    return programs;
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Through an apt of its own: the machine's does not get to know another architecture. */
function fetchProgram(work: string, architecture: string, name: string, member: string, to: string): void {
  const directory = join(work, architecture);
  for (const each of ["state/lists/partial", "cache/archives/partial", "unpacked"]) {
    mkdirSync(join(directory, each), { recursive: true });
  }
  writeFileSync(join(directory, "status"), "");
  const configuration = join(directory, "apt.conf");
  writeFileSync(
    configuration,
    [
      `APT::Architecture "${architecture}";`,
      `APT::Architectures {"${architecture}";};`,
      `Dir::State "${join(directory, "state")}";`,
      `Dir::State::status "${join(directory, "status")}";`,
      `Dir::Cache "${join(directory, "cache")}";`,
      'APT::Sandbox::User "root";',
    ].join("\n"),
  );
  const env = { ...process.env, APT_CONFIG: configuration };
  run(["apt-get", "update", "-q"], { env, cwd: directory });
  run(["apt-get", "download", "-q", `${name}:${architecture}`], { env, cwd: directory });
  const archive = readdirSync(directory).find((file) => file.endsWith(".deb"));
  if (archive === undefined) throw new Error(`apt-get downloaded no ${name}`);
  run(["sh", "-c", `dpkg-deb --fsys-tarfile '${archive}' | tar -x -C unpacked ${member}`], {
    cwd: directory,
  });
  renameSync(join(directory, "unpacked", member), `${to}.${process.pid}`);
  renameSync(`${to}.${process.pid}`, to);
}

function run(command: string[], options: { cwd: string; env?: Record<string, string | undefined> }): void {
  const { success, stderr } = Bun.spawnSync(command, { ...options, stdout: "ignore", stderr: "pipe" });
  if (success) return;
  const [last = ""] = stderr.toString().trim().split("\n").slice(-1);
  throw new Error(`${command.slice(0, 3).join(" ")}: ${last}`);
}

/**
 * Tells the kernel to run arm64 programs with qemu, until it is disposed of or this process ends: a shell in a mount
 * namespace of its own keeps the handler for as long as its input is open. The handler is the whole machine's.
 * @returns undefined where the machine has one already, which stays as it is
 */
export async function registerHandler(qemu: string): Promise<AsyncDisposable | undefined> {
  const directory = "/proc/sys/fs/binfmt_misc";
  const name = `davit-test-arm64-${process.pid}`;
  const magic = String.raw`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`;
  const mask = String.raw`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`;
  const script = `
    mountpoint -q ${directory} || mount -t binfmt_misc binfmt_misc ${directory}
    if ls ${directory} | grep -q 'aarch64|arm64'; then echo there; exit; fi
    printf '%s' ':${name}:M::${magic}:${mask}:${qemu}:F' > ${directory}/register
    echo registered
    cat > /dev/null
    echo -1 > ${directory}/${name}`;
  const child = Bun.spawn(["unshare", "--mount", "sh", "-ec", script], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const { value } = await child.stdout.getReader().read();
  const said = Buffer.from(value ?? []).toString();
  if (said.startsWith("there")) return undefined;
  if (!said.startsWith("registered")) {
    throw new Error(`binfmt_misc: ${(await new Response(child.stderr).text()).trim()}`);
  }
  return {
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await child.exited;
    },
  };
}
