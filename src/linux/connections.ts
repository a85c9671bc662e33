/** This process's own accepted TCP connections, as the kernel sees them. tcp(7). */
import { namesIn } from "./directories.ts";
import { ptr, symbols } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const SIOCOUTQ = 0x5411;
const SHUT_RDWR = 2;
const TCP_ESTABLISHED = 1;

export interface Connection {
  readonly fd: number;
  /** `192.0.2.1:40123`, `[2001:db8::1]:40123`. IPv4 that came over an IPv6 socket is told as IPv4. */
  readonly peer: string;
  /** Milliseconds since we last sent something, or since it was accepted. */
  readonly silentFor: number;
  /** Bytes that were written and have not reached the peer. */
  readonly unsent: number;
}

/** Established connections to our port `port`. Descriptors are good until the event loop goes on. */
export function connectionsTo(port: number): Connection[] {
  return namesIn("/proc/self/fd").flatMap((name) => connectionOf(Number(name), port) ?? []);
}

/** Ends a connection in both directions; whoever reads it sees its end. */
export function endConnection({ fd }: Connection): void {
  symbols.shutdown(fd, SHUT_RDWR);
}

function connectionOf(fd: number, port: number): Connection | undefined {
  const own = addressOf(fd, symbols.getsockname);
  if (own === undefined || own.port !== port) return undefined;
  const peer = addressOf(fd, symbols.getpeername);
  const info = Buffer.alloc(48);
  const length = Buffer.from([info.length, 0, 0, 0]);
  if (peer === undefined || symbols.getsockopt(fd, IPPROTO_TCP, TCP_INFO, ptr(info), ptr(length)) !== 0) {
    return undefined;
  }
  // struct tcp_info: tcpi_state is its first byte, tcpi_last_data_sent its tenth 32-bit number after 8 bytes.
  if (info.readUInt8(0) !== TCP_ESTABLISHED) return undefined;
  const unsent = Buffer.alloc(4);
  symbols.ioctl(fd, SIOCOUTQ, ptr(unsent));
  return {
    fd,
    peer: peerName(peer.address, peer.port),
    silentFor: info.readUInt32LE(44),
    unsent: unsent.readInt32LE(0),
  };
}

/** How `Connection.peer` writes an address. */
export function peerName(address: string, port: number): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!plain.includes(":")) return `${plain}:${port}`;
  return `${new URL(`http://[${plain.split("%")[0] ?? ""}]/`).hostname}:${port}`;
}

function addressOf(
  fd: number,
  ask: typeof symbols.getsockname,
): { address: string; port: number } | undefined {
  // struct sockaddr_in, sockaddr_in6.
  const name = Buffer.alloc(28);
  const length = Buffer.from([name.length, 0, 0, 0]);
  if (ask(fd, ptr(name), ptr(length)) !== 0) return undefined;
  const port = name.readUInt16BE(2);
  switch (name.readUInt16LE(0)) {
    case AF_INET:
      return { address: name.subarray(4, 8).join("."), port };
    case AF_INET6:
      return { address: ipv6Text(name.subarray(8, 24)), port };
    default:
      return undefined;
  }
}

function ipv6Text(bytes: Buffer): string {
  const isMapped = bytes.subarray(0, 12).equals(Buffer.from("00000000000000000000ffff", "hex"));
  if (isMapped) return bytes.subarray(12).join(".");
  return Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16)).join(":");
}
