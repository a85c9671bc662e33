/**
 * Tells the kernel that a process will soon be moved between cgroups. The first move after a quiet time waits for an
 * RCU grace period, 5 to 15 ms, and the next ones within some 20 ms do not (cgroup_threadgroup_rwsem). Asked for early,
 * by moving ourselves to where we are, that wait passes while other work is done. Nothing here fails: it changes nothing
 * but the time that a runtime takes.
 */
import { existsSync, readFileSync } from "./files.ts";

/** Milliseconds for which moves are quick, and when they were last asked to be. */
const quickFor = 15;
let askedAt = Number.NEGATIVE_INFINITY;

export function isMoveAnnounced(): boolean {
  return performance.now() - askedAt < quickFor;
}

/** @param file `cgroup.procs` of our own cgroup, in any hierarchy */
export async function announceMove(file: string): Promise<void> {
  if (isMoveAnnounced()) return;
  askedAt = performance.now();
  // A blob is written by another thread: this one goes on.
  await Bun.write(file, new Blob([String(process.pid)]), { createPath: false }).catch(() => undefined);
}

/** Before it is known which hierarchies there are: by where they mostly are. Where they are not, nothing happens. */
export function announceMoveEarly(): void {
  const lines = readFileSync("/proc/self/cgroup", "latin1").split("\n");
  for (const line of lines) {
    const [, names = "", ...path] = line.split(":");
    if (names.startsWith("name=") || path.length === 0) continue;
    const file = `/sys/fs/cgroup/${names}/${path.join(":")}/cgroup.procs`;
    if (!existsSync(file)) continue;
    void announceMove(file);
    return;
  }
}
