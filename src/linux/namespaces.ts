/** Entering and making namespaces. All of it is per thread: never await between entering and coming back. */
import { check, checkRetrying, cstring, ptr, symbols } from "./libc.ts";

const AT_FDCWD = -100;
const O_RDONLY_CLOEXEC = 0o2000000;

const namespaceFlag = {
  mnt: 0x00020000,
  cgroup: 0x02000000,
  uts: 0x04000000,
  ipc: 0x08000000,
  user: 0x10000000,
  pid: 0x20000000,
  net: 0x40000000,
} as const;

export type NamespaceKind = keyof typeof namespaceFlag;

/** Opens a namespace by its path (`/proc/<pid>/ns/net`). Close-on-exec; the caller closes it. */
export function openNamespace(path: string): number {
  const name = cstring(path);
  return checkRetrying(() => symbols.openat(AT_FDCWD, ptr(name), O_RDONLY_CLOEXEC, 0), "open", path);
}

export function closeNamespace(fd: number): void {
  check(symbols.close(fd), "close");
}

/** Moves this thread into the namespace. setns(2). */
function enterNamespace(fd: number, kind: NamespaceKind): void {
  check(symbols.setns(fd, namespaceFlag[kind]), "setns", kind);
}

/** Moves this thread into fresh namespaces. unshare(2). */
export function unshareNamespaces(...kinds: NamespaceKind[]): void {
  check(
    symbols.unshare(kinds.reduce((flags, kind) => flags | namespaceFlag[kind], 0)),
    "unshare",
    kinds.join(),
  );
}

/**
 * Runs `work` with this thread inside another network namespace; comes back whatever happens. Sockets opened
 * inside stay in that namespace. `work` must be synchronous: an await would let other code run in there.
 * @param target an open namespace, or the path of one.
 */
export function withNetworkNamespace<Result>(target: number | string, work: () => Result): Result {
  const home = openNamespace("/proc/thread-self/ns/net");
  try {
    const fd = typeof target === "number" ? target : openNamespace(target);
    try {
      enterNamespace(fd, "net");
    } finally {
      if (typeof target === "string") closeNamespace(fd);
    }
    try {
      return work();
    } finally {
      enterNamespace(home, "net");
    }
  } finally {
    closeNamespace(home);
  }
}
