/**
 * The two questions about links that need no rtnetlink. They are answered without the kernel's rtnl lock, which the
 * removal of somebody's namespace can hold for 10 ms and more. netdevice(7).
 */
import { cstring, errno, errnoName, linuxError, ptr, symbols } from "./libc.ts";

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCGIFFLAGS = 0x8913;
const SIOCGIFINDEX = 0x8933;
const IFF_UP = 1;
const nameLength = 16;
/** struct ifreq */
const requestLength = 40;

/** The link's index, and whether it is up; undefined when there is no link of that name. */
export function findInterface(name: string): { index: number; isUp: boolean } | undefined {
  const socket = symbols.socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  if (socket < 0) throw linuxError("socket", errno());
  try {
    const index = ask(socket, SIOCGIFINDEX, name)?.readInt32LE(nameLength);
    const flags = ask(socket, SIOCGIFFLAGS, name)?.readUInt16LE(nameLength);
    return index === undefined || flags === undefined ? undefined : { index, isUp: (flags & IFF_UP) !== 0 };
  } finally {
    symbols.close(socket);
  }
}

function ask(socket: number, request: number, name: string): Buffer | undefined {
  const answer = Buffer.alloc(requestLength);
  answer.set(cstring(name).subarray(0, nameLength - 1));
  if (symbols.ioctl(socket, request, ptr(answer)) === 0) return answer;
  const code = errno();
  if (errnoName(code) === "ENODEV") return undefined;
  throw linuxError("ioctl", code, name);
}
