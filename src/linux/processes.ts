/** Processes by pid, told apart from later ones that got the same number. pidfd_open(2), proc_pid_stat(5). */

import { hasErrno } from "../core/errors.ts";
import { adoptSocket } from "./adopt.ts";
import { readFileSync } from "./files.ts";
import { check, errno, errnoName, linuxError, ptr, symbols } from "./libc.ts";

/** The same number on every architecture: both calls are younger than the unified numbering. */
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;
const POLLIN = 1;
const F_DUPFD_CLOEXEC = 1030;

interface ProcessStat {
  /** `R`, `S`, `Z` …: proc_pid_stat(5). */
  state: string;
  startTime: number;
}

function readStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  // The command's name is in brackets and may itself contain brackets and spaces.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "X", startTime: Number(fields[19]) };
}

/** When the process began, in clock ticks since boot (field 22 of /proc/<pid>/stat); undefined when there is none. */
export function startTimeOf(pid: number): number | undefined {
  return readStat(pid)?.startTime;
}

/** True while this very process runs; a zombie counts as ended. */
export function isAlive(pid: number, startTime: number): boolean {
  const stat = readStat(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== "Z" && stat.state !== "X";
}

/** A handle on one process that no later one can be mistaken for. */
export interface ProcessHandle extends Disposable {
  readonly pid: number;
  /** false when it has ended already. */
  signal(signal: number): boolean;
  hasEnded(): boolean;
  /** Settles when it has ended. @throws the reason of `abort` when that comes first. */
  ended(abort?: AbortSignal): Promise<void>;
}

/** undefined when no such process runs. */
export function openProcess(pid: number): ProcessHandle | undefined {
  const fd = pidfdOpen(pid);
  if (fd === undefined) return undefined;
  let open = true;
  return {
    pid,
    signal: (signal) => {
      if (Number(symbols.syscall(SYS_pidfd_send_signal, fd, signal, 0, 0, 0, 0)) === 0) return true;
      const code = errno();
      if (errnoName(code) === "ESRCH") return false;
      throw linuxError("pidfd_send_signal", code);
    },
    hasEnded: () => isReadable(fd),
    ended: (abort) => pidfdReadable(fd, abort),
    [Symbol.dispose]: () => {
      if (!open) return;
      open = false;
      check(symbols.close(fd), "close");
    },
  };
}

function pidfdOpen(pid: number): number | undefined {
  const fd = Number(symbols.syscall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0));
  if (fd >= 0) return fd;
  const code = errno();
  if (errnoName(code) === "ESRCH") return undefined;
  throw linuxError("pidfd_open", code);
}

function isReadable(fd: number): boolean {
  const request = Buffer.alloc(8);
  request.writeInt32LE(fd, 0);
  request.writeInt16LE(POLLIN, 4);
  return symbols.poll(ptr(request), 1, 0) > 0;
}

/**
 * A pidfd becomes readable when its process ends. Bun's own epoll watches it as if it were a socket: the event
 * makes Bun try to receive, which fails, and it closes the descriptor. So a copy is given to it.
 */
async function pidfdReadable(fd: number, abort: AbortSignal | undefined): Promise<void> {
  abort?.throwIfAborted();
  if (isReadable(fd)) return;
  const watched = check(symbols.fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl");
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = await adoptSocket(watched, {
    data: () => resolve(),
    close: () => resolve(),
    error: () => resolve(),
  });
  const onAbort = () => reject(abort?.reason);
  abort?.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    abort?.removeEventListener("abort", onAbort);
    socket.terminate();
  }
}
