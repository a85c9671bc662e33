/** IPv4 addresses as numbers. */

const octetPattern = /^(?:0|[1-9][0-9]{0,2})$/;

/** The address as an unsigned 32-bit number, or undefined when `text` is not four decimal octets. */
export function parseIpv4(text: string): number | undefined {
  const octets = text.split(".");
  if (octets.length !== 4) return undefined;
  let value = 0;
  for (const octet of octets) {
    if (!octetPattern.test(octet) || Number(octet) > 255) return undefined;
    value = value * 256 + Number(octet);
  }
  return value;
}

/** `192.0.2.1` */
export function formatIpv4(value: number): string {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join(".");
}

/** Network byte order. */
export function ipv4Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A block of addresses; `base` has no bits below the prefix. */
export interface Ipv4Subnet {
  readonly base: number;
  readonly prefixLength: number;
}

function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
}

/** The subnet that `address` lies in. */
export function subnetOf(address: number, prefixLength: number): Ipv4Subnet {
  return { base: (address & maskOf(prefixLength)) >>> 0, prefixLength };
}

/** `192.0.2.0/24`; undefined for what is none. Bits of the address behind the prefix are cleared. */
export function parseIpv4Subnet(text: string): Ipv4Subnet | undefined {
  const [address = "", length = "", rest] = text.split("/");
  const base = parseIpv4(address);
  if (base === undefined || rest !== undefined || !/^[0-9]{1,2}$/.test(length) || Number(length) > 32)
    return undefined;
  return subnetOf(base, Number(length));
}

/** `192.0.2.0/24` */
export function formatIpv4Subnet(subnet: Ipv4Subnet): string {
  return `${formatIpv4(subnet.base)}/${subnet.prefixLength}`;
}

function subnetContains(subnet: Ipv4Subnet, address: number): boolean {
  return (address & maskOf(subnet.prefixLength)) >>> 0 === subnet.base;
}

/** True when one contains the other. */
export function subnetsOverlap(one: Ipv4Subnet, other: Ipv4Subnet): boolean {
  return one.prefixLength <= other.prefixLength
    ? subnetContains(one, other.base)
    : subnetContains(other, one.base);
}

/** The last address, which IPv4 uses for broadcast. */
export function broadcastOf(subnet: Ipv4Subnet): number {
  return (subnet.base | ~maskOf(subnet.prefixLength)) >>> 0;
}

const macPattern = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;

/** Six bytes, or undefined when `text` is not a MAC address. */
export function parseMac(text: string): Buffer | undefined {
  return macPattern.test(text) ? Buffer.from(text.replaceAll(":", ""), "hex") : undefined;
}

/** `02:42:ac:11:00:02` */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
