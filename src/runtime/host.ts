/** What of the host goes into containers' configurations. */

import { Unavailable } from "../core/errors.ts";
import { readFileSync } from "../linux/files.ts";
import { kernelRelease, processorCount } from "../linux/machine.ts";
import { capabilitiesOfMask } from "./capabilities.ts";
import type { CgroupLayout } from "./cgroups.ts";

export interface HostFacts {
  cgroups: CgroupLayout;
  /** amd64, arm64 … as Go names them. */
  architecture: string;
  kernel: { major: number; minor: number };
  cpus: number;
  /** Capabilities that we may hand on (our bounding set). */
  capabilities: readonly string[];
  /** Our own hard limits by name as `--ulimit` has it (`nofile`); Infinity when unlimited. */
  hardLimits: ReadonlyMap<string, number>;
  /** Our own, below which a container's cannot be set without CAP_SYS_RESOURCE. */
  oomScoreAdj: number;
}

/** Go's names of Node's architectures, where they differ. */
const goNames: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", loong64: "loong64" };

/** The names of /proc/self/limits. */
const limitNames: Readonly<Record<string, string>> = {
  "Max cpu time": "cpu",
  "Max file size": "fsize",
  "Max data size": "data",
  "Max stack size": "stack",
  "Max core file size": "core",
  "Max resident set": "rss",
  "Max processes": "nproc",
  "Max open files": "nofile",
  "Max locked memory": "memlock",
  "Max address space": "as",
  "Max file locks": "locks",
  "Max pending signals": "sigpending",
  "Max msgqueue size": "msgqueue",
  "Max nice priority": "nice",
  "Max realtime priority": "rtprio",
  "Max realtime timeout": "rttime",
};

/** Reads /proc/self. Well below 1 ms; the result holds for the life of the process. */
export function readHostFacts(cgroups: CgroupLayout): HostFacts {
  const [major = "0", minor = "0"] = kernelRelease().split(".");
  const mask = readFileSync("/proc/self/status", "utf8").match(/^CapBnd:\s*([0-9a-f]+)/m)?.[1] ?? "0";
  return {
    cgroups,
    architecture: goNames[process.arch] ?? process.arch,
    kernel: { major: Number.parseInt(major, 10), minor: Number.parseInt(minor, 10) },
    cpus: processorCount(),
    capabilities: capabilitiesOfMask(mask),
    hardLimits: readHardLimits(),
    oomScoreAdj: Number(readFileSync("/proc/self/oom_score_adj", "utf8")),
  };
}

function readHardLimits(): Map<string, number> {
  const limits = new Map<string, number>();
  for (const line of readFileSync("/proc/self/limits", "utf8").split("\n")) {
    // `Max open files            20000                20000                files`
    const match = line.match(/^(\S(?:.*?\S)?)\s{2,}(\S+)\s+(\S+)/);
    const name = limitNames[match?.[1] ?? ""];
    const hard = match?.[3];
    if (name !== undefined && hard !== undefined) {
      limits.set(name, hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard));
    }
  }
  return limits;
}

/** Finds the init that `--init` puts in front; only static ones run in any image. @throws Unavailable naming the package. */
export function findInit(searchPath: string): string {
  for (const name of ["docker-init", "tini-static", "catatonit"]) {
    const path = Bun.which(name, { PATH: `${searchPath}:/usr/libexec/podman:/usr/libexec/docker` });
    if (path !== null) return path;
  }
  throw new Unavailable(
    "--init needs tini, which is not installed: it comes in the package `tini` (apt-get install tini)",
  );
}
