/** EXPOSE's ports: `80`, `80/udp`, `8000-8010`, and the forms with addresses that it should not have. */
import { LineFault } from "../errors.ts";
import { quote } from "../text.ts";

/** A port as it is written, taken apart. */
export interface WrittenPort {
  /** An address or a port of the host before it: EXPOSE has no use for them. */
  readonly address: string;
  readonly host: string;
  /** A number or a range. */
  readonly numbers: string;
  /** As it is written; `tcp` when it is not. */
  readonly protocol: string;
}

interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** @throws LineFault in BuildKit's words */
export function readPort(text: string): WrittenPort {
  const { address, host, container } = split(text);
  const slash = container.indexOf("/");
  const numbers = slash < 0 ? container : container.slice(0, slash);
  const protocol = (slash < 0 ? "" : container.slice(slash + 1)) || "tcp";
  if (numbers === "") throw new LineFault(`invalid port: ${quote(text)}: no port specified`);
  if (!["tcp", "udp", "sctp"].includes(protocol.toLowerCase())) {
    throw new LineFault(`invalid port: ${quote(text)}: invalid proto: ${protocol}`);
  }
  return { address, host, numbers, protocol };
}

/** `80/tcp`, one for each of a range. @throws LineFault in BuildKit's words */
export function portsOf({ address, host, numbers, protocol }: WrittenPort): string[] {
  checkAddress(address);
  const range = parseRange(numbers);
  if (range === undefined) throw new LineFault(`invalid containerPort: ${numbers}`);
  if (host !== "") {
    const outside = parseRange(host);
    if (outside === undefined) throw new LineFault(`invalid hostPort: ${host}`);
    if (range.last !== range.first && range.last - range.first !== outside.last - outside.first) {
      throw new LineFault(`invalid ranges specified for container and host Ports: ${numbers} and ${host}`);
    }
  }
  const ports: string[] = [];
  for (let port = range.first; port <= range.last; port += 1) ports.push(`${port}/${protocol.toLowerCase()}`);
  return ports;
}

/** `[address:][host:]container`; an address may hold colons. */
function split(text: string): { address: string; host: string; container: string } {
  const parts = text.split(":");
  const container = parts.pop() ?? "";
  const host = parts.pop() ?? "";
  return { address: parts.join(":"), host, container };
}

/** Loaded when a port has an address. */
const net = (): typeof import("node:net") => require("node:net");

function checkAddress(address: string): void {
  if (address === "") return;
  let ip = address;
  if (address.startsWith("[")) {
    const [, inner] = /^\[([^[\]]*)\]$/.exec(address) ?? [];
    if (inner === undefined) throw new LineFault(`invalid IP address ${address}`);
    ip = inner;
  }
  if (ip !== "" && (net().isIP(ip) === 0 || ip.includes("%")))
    throw new LineFault(`invalid IP address: ${ip}`);
}

function parseRange(text: string): PortRange | undefined {
  const dash = text.indexOf("-");
  const start = dash < 0 ? text : text.slice(0, dash);
  const end = dash < 0 ? start : text.slice(dash + 1);
  const first = parseNumber(start);
  const last = start === end ? first : parseNumber(end);
  if (first === undefined || last === undefined || last < first) return undefined;
  return { first, last };
}

function parseNumber(text: string): number | undefined {
  if (!/^[-+]?[0-9]+$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 0 && port <= 65535 ? port : undefined;
}
