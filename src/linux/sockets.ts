/** Unix sockets that Bun does not make: SEQPACKET connections and connected pairs. unix(7). */
import { check, checkRetrying, cstring, ptr, symbols } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;
const O_PATH_DIRECTORY_CLOEXEC = 0o10000000 | 0o200000 | 0o2000000;
const SHUT_WR = 1;

/**
 * Connects to the SEQPACKET socket `name` in `directory`, whose path may be longer than the 108 bytes that a
 * socket address holds.
 * @returns a non-blocking descriptor that the caller closes.
 */
export function connectSeqpacket(directory: string, name: string): number {
  const path = cstring(directory);
  const directoryFd = checkRetrying(
    () => symbols.openat(AT_FDCWD, ptr(path), O_PATH_DIRECTORY_CLOEXEC, 0),
    "open",
    directory,
  );
  try {
    const fd = check(symbols.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    const address = Buffer.alloc(110);
    address.writeUInt16LE(AF_UNIX, 0);
    address.write(`/proc/self/fd/${directoryFd}/${name}`, 2);
    try {
      checkRetrying(
        () => symbols.connect(fd, ptr(address), address.length),
        "connect",
        `${directory}/${name}`,
      );
    } catch (error) {
      symbols.close(fd);
      throw error;
    }
    return fd;
  } finally {
    symbols.close(directoryFd);
  }
}

/** Two connected stream sockets, both close-on-exec; `ours` is non-blocking, `theirs` is not. */
export function socketPair(): { ours: number; theirs: number } {
  const fds = new Int32Array(2);
  check(symbols.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ptr(fds)), "socketpair");
  const [ours = -1, theirs = -1] = fds;
  const F_SETFL = 4;
  check(symbols.fcntl(ours, F_SETFL, SOCK_NONBLOCK), "fcntl");
  return { ours, theirs };
}

/** Tells the peer that nothing more will be sent; receiving goes on. False when the peer has gone already. */
export function shutdownWriting(fd: number): boolean {
  return symbols.shutdown(fd, SHUT_WR) === 0;
}

export function closeFd(fd: number): void {
  check(symbols.close(fd), "close");
}
