/** IP addresses. The runtime's `node:net` takes milliseconds to load, so it is loaded where there are ranges or IPv6. */
import { parseIpv4 } from "../../linux/addresses.ts";

const net = (): typeof import("node:net") => require("node:net");

/** 4, 6, or 0 for what is no IP address. */
export function addressFamily(text: string): 0 | 4 | 6 {
  if (parseIpv4(text) !== undefined) return 4;
  return text.includes(":") && net().isIP(text) === 6 ? 6 : 0;
}

/** `localhost`, 127.0.0.0/8 and ::1. */
export function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return host.startsWith("127.") && parseIpv4(host) !== undefined;
}

/** True when `address` is an IP address inside a CIDR range; false also where either is no such thing. */
export function isInRange(address: string, range: string): boolean {
  const family = addressFamily(address);
  const [network = "", length = ""] = range.split("/");
  const networkFamily = addressFamily(network);
  const bits = Number(length);
  if (family === 0 || networkFamily === 0 || !/^\d{1,3}$/.test(length)) return false;
  if (bits > (networkFamily === 4 ? 32 : 128)) return false;
  const list = new (net().BlockList)();
  list.addSubnet(network, bits, networkFamily === 4 ? "ipv4" : "ipv6");
  return list.check(address, family === 4 ? "ipv4" : "ipv6");
}
