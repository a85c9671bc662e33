/** Sockets that hold a port of this host. */
import { ipv4Bytes } from "./addresses.ts";
import { check, ptr, symbols } from "./libc.ts";

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_SCTP = 132;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ATTACH_FILTER = 26;

export type PortProtocol = "tcp" | "udp" | "sctp";

/** struct sockaddr_in. */
function socketAddress(address: number, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  ipv4Bytes(address).copy(bytes, 4);
  return bytes;
}

/**
 * Takes a port of this host, so that nobody else gets it, and answers nobody on it. Close-on-exec.
 *
 * TCP listens, for a bound socket that does not listen can be bound over by anyone who sets SO_REUSEADDR, as
 * most servers do; and it sets SO_REUSEADDR itself, for without that connections in TIME_WAIT were in its way.
 * @throws LinuxError EADDRINUSE, EADDRNOTAVAIL (not an address of this host), EPROTONOSUPPORT (no SCTP).
 */
export function holdPort(protocol: PortProtocol, address: number, port: number): number {
  const kind = protocol === "udp" ? SOCK_DGRAM : SOCK_STREAM;
  const fd = check(
    symbols.socket(AF_INET, kind | SOCK_CLOEXEC, protocol === "sctp" ? IPPROTO_SCTP : 0),
    "socket",
    protocol,
  );
  try {
    if (protocol !== "udp") {
      const on = Buffer.from([1, 0, 0, 0]);
      check(symbols.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, ptr(on), on.length), "setsockopt");
    } else {
      dropEverything(fd);
    }
    const where = socketAddress(address, port);
    check(symbols.bind(fd, ptr(where), where.length), "bind");
    if (protocol !== "udp") check(symbols.listen(fd, 0), "listen");
    return fd;
  } catch (error) {
    symbols.close(fd);
    throw error;
  }
}

/** A socket filter `ret #0`: what still arrives is dropped, instead of filling the queue of a socket that nobody reads. */
function dropEverything(fd: number): void {
  const BPF_RET_K = 0x06;
  const instruction = Buffer.alloc(8);
  instruction.writeUInt16LE(BPF_RET_K, 0);
  const program = Buffer.alloc(16);
  program.writeUInt16LE(1, 0);
  program.writeBigUInt64LE(BigInt(ptr(instruction)), 8);
  check(symbols.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, ptr(program), program.length), "setsockopt");
}

export function closeSocket(fd: number): void {
  check(symbols.close(fd), "close");
}
