/** What an engine's own processes weigh, from /proc. */
import { readdirSync, readFileSync } from "node:fs";
import { hasErrno } from "../src/core/errors.ts";
import type { Subject } from "./engines.ts";

export interface Memory {
  processes: number;
  /** Kilobytes: resident, and resident with shared pages divided among those who share them. */
  rss: number;
  pss: number;
}

/** Sums up all processes of an engine except those inside its containers. */
export function memoryOf(subject: Subject): Memory {
  const sum: Memory = { processes: 0, rss: 0, pss: 0 };
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    try {
      if (!belongsTo(subject, pid)) continue;
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      sum.processes += 1;
      sum.rss += kilobytes(rollup, "Rss");
      sum.pss += kilobytes(rollup, "Pss");
    } catch (error) {
      // It ended while we looked.
      if (!hasErrno(error, "ENOENT", "ESRCH")) throw error;
    }
  }
  return sum;
}

const engineProcesses = new Set([
  "conmon",
  "davit",
  "dockerd",
  "containerd",
  "containerd-shim",
  "docker-proxy",
  "podman",
]);

function belongsTo(subject: Subject, pid: string): boolean {
  const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
  const program = (command.split("\0")[0] ?? "").split("/").at(-1) ?? "";
  const known = engineProcesses.has(program.replace(/-runc-v2$/, ""));
  return (
    known &&
    (command.includes(subject.mark) || readFileSync(`/proc/${pid}/environ`, "utf8").includes(subject.mark))
  );
}

function kilobytes(text: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
}
