/** Sockets that hold a port of this host. */

import { hasErrno } from "../core/errors.ts";
import { ipv4Bytes } from "./addresses.ts";
import { readdirSync, readlinkSync } from "./files.ts";
import { check, ptr, symbols } from "./libc.ts";

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ATTACH_FILTER = 26;
const SO_PROTOCOL = 38;
const SHUT_RDWR = 2;
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;

export type PortProtocol = "tcp" | "udp" | "sctp";
const protocolNumber = { tcp: 6, udp: 17, sctp: 132 } as const;

/** struct sockaddr_in. */
function socketAddress(address: number, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  ipv4Bytes(address).copy(bytes, 4);
  return bytes;
}

/**
 * Takes a port of this host. Close-on-exec. For TCP and SCTP `refuseOthers` must follow: a socket that is bound and
 * does not listen refuses connections, but anyone who sets SO_REUSEADDR, as most servers do, can bind over it. It
 * sets SO_REUSEADDR itself, for without that connections in TIME_WAIT were in its way.
 * @throws LinuxError EADDRINUSE, EADDRNOTAVAIL (not an address of this host), EPROTONOSUPPORT (no SCTP).
 */
export function holdPort(protocol: PortProtocol, address: number, port: number): number {
  const kind = protocol === "udp" ? SOCK_DGRAM : SOCK_STREAM;
  const fd = check(
    symbols.socket(AF_INET, kind | SOCK_CLOEXEC, protocolNumber[protocol]),
    "socket",
    protocol,
  );
  try {
    if (protocol === "udp") {
      dropEverything(fd);
    } else {
      const on = Buffer.from([1, 0, 0, 0]);
      check(symbols.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ptr(on), on.length), "setsockopt");
    }
    const where = socketAddress(address, port);
    check(symbols.bind(fd, ptr(where), where.length), "bind");
    return fd;
  } catch (error) {
    symbols.close(fd);
    throw error;
  }
}

/**
 * Makes a held TCP or SCTP port unavailable to everybody else: it listens. To be called when nothing comes here any
 * more, for what would connect now would wait for an answer in vain.
 * @throws LinuxError EADDRINUSE when somebody was faster.
 */
export function refuseOthers(fd: number): void {
  check(symbols.listen(fd, 0), "listen");
}

/** A socket filter `ret #0`: what still arrives is dropped, instead of filling the queue of a socket that nobody reads. */
function dropEverything(fd: number): void {
  const BPF_RET_K = 0x06;
  // struct sock_fprog (16 bytes) and after it the one struct sock_filter that it points to.
  const program = Buffer.alloc(24);
  program.writeUInt16LE(1, 0);
  program.writeBigUInt64LE(BigInt(ptr(program, 16)), 8);
  program.writeUInt16LE(BPF_RET_K, 16);
  check(symbols.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, ptr(program), 16), "setsockopt");
}

/**
 * The socket with which another process holds this port, as a descriptor of ours (close-on-exec): the same open
 * socket, so that the port stays taken when that process ends. Undefined when it holds none, or is gone.
 */
export function shareHeldPort(
  pid: number,
  protocol: PortProtocol,
  address: number,
  port: number,
): number | undefined {
  const pidfd = Number(symbols.syscall(SYS_pidfd_open, pid, 0, 0, 0, 0, 0));
  if (pidfd < 0) return undefined;
  try {
    for (const { fd, target } of openFiles(pid)) {
      if (!target.startsWith("socket:")) continue;
      const copy = Number(symbols.syscall(SYS_pidfd_getfd, pidfd, fd, 0, 0, 0, 0));
      if (copy < 0) continue;
      if (isBoundTo(copy, protocol, address, port)) {
        // Back to bound only, as `holdPort` leaves it. ENOTCONN: it did not listen.
        if (protocol !== "udp") symbols.shutdown(copy, SHUT_RDWR);
        return copy;
      }
      symbols.close(copy);
    }
    return undefined;
  } finally {
    symbols.close(pidfd);
  }
}

/** Descriptors of a process and what they refer to; nothing for a process that is gone. */
function openFiles(pid: number): { fd: number; target: string }[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((fd) => ({
      fd: Number(fd),
      target: readlinkSync(`/proc/${pid}/fd/${fd}`),
    }));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH")) return [];
    throw error;
  }
}

function isBoundTo(fd: number, protocol: PortProtocol, address: number, port: number): boolean {
  const value = Buffer.alloc(4);
  const length = Buffer.from([4, 0, 0, 0]);
  if (symbols.getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, ptr(value), ptr(length)) !== 0) return false;
  if (value.readInt32LE(0) !== protocolNumber[protocol]) return false;
  const name = Buffer.alloc(16);
  const nameLength = Buffer.from([16, 0, 0, 0]);
  if (symbols.getsockname(fd, ptr(name), ptr(nameLength)) !== 0) return false;
  return name.subarray(0, 8).equals(socketAddress(address, port).subarray(0, 8));
}

export function closeSocket(fd: number): void {
  check(symbols.close(fd), "close");
}
