/**
 * What instances of davit have in the kernel right now, found by names and paths alone: nothing here asks davit, so
 * that what davit has forgotten is found, too.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { hasErrno } from "../../src/core/errors.ts";
import type { Instance } from "../../src/core/instance.ts";

export interface KernelFacts {
  /** Mount points, in the order in which they were mounted. */
  mounts: string[];
  processes: { pid: number; command: string }[];
  links: string[];
  /** nftables tables as `family name`. */
  tables: string[];
  /** Directories below the cgroup hierarchies, children before parents. */
  cgroups: string[];
}

/** How names and paths that belong to whom we ask for look. */
export interface Ownership {
  ownsPath(path: string): boolean;
  /** Whether the arguments or environment of a process, as /proc shows them, are of one that is ours. */
  ownsWords(words: string): boolean;
  /** @param master the bridge that the link is plugged into. */
  ownsLink(name: string, master: string | undefined): boolean;
  ownsTable(name: string): boolean;
  /** @param path below the hierarchy, `/davit-0123ab/…`. */
  ownsCgroup(path: string): boolean;
}

/** All that belongs to one instance. */
export function ownershipOf(instance: Instance): Ownership {
  const roots = [instance.dataRoot, instance.execRoot];
  const isBelow = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`);
  return {
    ownsPath: (path) => roots.some((root) => isBelow(path, root)),
    ownsWords: (words) => roots.some((root) => words.includes(root)),
    ownsLink: (name, master) => name === instance.bridge || master === instance.bridge,
    ownsTable: (name) => name === instance.table,
    ownsCgroup: (path) => isBelow(path, instance.cgroupParent),
  };
}

/** Where the tests put everything. */
export const testRootPattern = /\/davit-test-[^/\s\0]*/;

const testBridge = /^dv[0-9a-f]{6}0$/;

/** All that belongs to any instance or dockerd of the tests. */
export const anyTestInstance: Ownership = {
  ownsPath: (path) => testRootPattern.test(path),
  ownsWords: (words) => testRootPattern.test(words),
  ownsLink: (name, master) =>
    testBridge.test(name) || (master === undefined ? /^dv[0-9a-f]{11}$/.test(name) : testBridge.test(master)),
  ownsTable: (name) => /^davit-[0-9a-f]{6}$/.test(name),
  ownsCgroup: (path) => /^\/davit-([0-9a-f]{6}|test-[^/]+)(\/|$)/.test(path),
};

export function findInKernel(owner: Ownership): KernelFacts {
  return {
    mounts: mountPoints().filter((path) => owner.ownsPath(path)),
    processes: findProcesses(owner),
    links: readdirSync("/sys/class/net").filter((name) => owner.ownsLink(name, masterOf(name))),
    tables: nftTables().filter((table) => owner.ownsTable(table.slice(table.indexOf(" ") + 1))),
    cgroups: findCgroups(owner),
  };
}

export function mountPoints(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => unescapeMount(line.split(" ")[4] ?? ""));
}

/** mountinfo writes blanks and backslashes as three octal digits. proc_pid_mountinfo(5). */
function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function findProcesses(owner: Ownership): KernelFacts["processes"] {
  const found: KernelFacts["processes"] = [];
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const command = readProcess(`/proc/${pid}/cmdline`);
    // A kernel thread, or a process that has ended.
    if (command === "") continue;
    if (
      owner.ownsWords(command) ||
      owner.ownsWords(ownVariables(readProcess(`/proc/${pid}/environ`))) ||
      cgroupPaths(readProcess(`/proc/${pid}/cgroup`)).some((path) => owner.ownsCgroup(path))
    ) {
      found.push({ pid, command: command.replaceAll("\0", " ").trim().slice(0, 200) });
    }
  }
  return found;
}

/** Only davit's own variables tell whose a process is: others may mention a test's directory by chance. */
function ownVariables(environment: string): string {
  return environment
    .split("\0")
    .filter((variable) => variable.startsWith("DAVIT_DATA_ROOT=") || variable.startsWith("DAVIT_EXEC_ROOT="))
    .join("\0");
}

function cgroupPaths(text: string): string[] {
  return text.split("\n").map((line) => line.split(":").slice(2).join(":"));
}

/** Empty when the process ends while we look, or is the machine's own and closed even to root. */
function readProcess(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return "";
    throw error;
  }
}

function nftTables(): string[] {
  const listed = Bun.spawnSync(["nft", "-j", "list", "tables"]);
  if (listed.exitCode !== 0) throw new Error(`nft list tables: ${listed.stderr.toString()}`);
  const answer: { nftables: { table?: { family: string; name: string } }[] } = JSON.parse(
    listed.stdout.toString(),
  );
  return answer.nftables.flatMap(({ table }) =>
    table === undefined ? [] : [`${table.family} ${table.name}`],
  );
}

/** Maps and sets of a table that have elements, as `map: element, …`. */
export function filledSets(table: string): string[] {
  const [family = "", name = ""] = table.split(" ");
  const listed = Bun.spawnSync(["nft", "-j", "list", "table", family, name]);
  if (listed.exitCode !== 0) return [];
  const answer: { nftables: Record<string, { name: string; elem?: unknown[] }>[] } = JSON.parse(
    listed.stdout.toString(),
  );
  return answer.nftables
    .flatMap((entry) => [entry.map, entry.set])
    .flatMap((set) => (set?.elem === undefined ? [] : [`${set.name}: ${JSON.stringify(set.elem)}`]));
}

function findCgroups(owner: Ownership): string[] {
  const found: string[] = [];
  for (const root of cgroupRoots()) {
    for (const entry of readdirSync(root, { withFileTypes: true })) {
      if (entry.isDirectory() && owner.ownsCgroup(`/${entry.name}`)) {
        found.push(...directoriesBelow(join(root, entry.name)), join(root, entry.name));
      }
    }
  }
  return found;
}

function cgroupRoots(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => unescapeMount(line.split(" ")[4] ?? ""));
}

function directoriesBelow(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => [...directoriesBelow(join(path, entry.name)), join(path, entry.name)]);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** The bridge that a link is plugged into. */
function masterOf(link: string): string | undefined {
  try {
    return basename(readlinkSync(`/sys/class/net/${link}/master`));
  } catch (error) {
    // Free, gone meanwhile, or no link at all (`bonding_masters`).
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
