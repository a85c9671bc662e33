import { Unavailable } from "../core/errors.ts";
import { type Ipv4Subnet, parseIpv4, subnetOf, subnetsOverlap } from "../linux/addresses.ts";

/** Docker's default address pools: 172.17–172.31 as /16, then 192.168 in /20s. */
function* defaultPools(): Generator<Ipv4Subnet> {
  for (let second = 17; second <= 31; second++) yield subnetOf(((172 << 24) | (second << 16)) >>> 0, 16);
  for (let third = 0; third < 256; third += 16)
    yield subnetOf(((192 << 24) | (168 << 16) | (third << 8)) >>> 0, 20);
}

/** The address that every other container address is reached through: the subnet's first. */
export function gatewayOf(subnet: Ipv4Subnet): number {
  return subnet.base + 1;
}

/**
 * The first pool that overlaps nothing in use.
 * @throws Unavailable in Docker's words when all are taken.
 */
export function chooseSubnet(used: readonly Ipv4Subnet[]): Ipv4Subnet {
  for (const pool of defaultPools()) {
    if (isFree(pool, used)) return pool;
  }
  throw new Unavailable(
    "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
  );
}

/** A route of prefix 0 covers everything and says nothing about use. */
export function isFree(subnet: Ipv4Subnet, used: readonly Ipv4Subnet[]): boolean {
  return used.every((other) => other.prefixLength === 0 || !subnetsOverlap(subnet, other));
}

/** The lowest free address after the gateway. @throws Unavailable when the subnet is full. */
export function chooseAddress(subnet: Ipv4Subnet, used: Iterable<string>): number {
  const taken = new Set<number>();
  for (const text of used) {
    const address = parseIpv4(text);
    if (address !== undefined) taken.add(address);
  }
  const last = subnet.base + 2 ** (32 - subnet.prefixLength) - 2;
  for (let address = gatewayOf(subnet) + 1; address <= last; address++) {
    if (!taken.has(address)) return address;
  }
  throw new Unavailable("no available IPv4 addresses on this network's address pools: bridge");
}

/** Docker's rule for a container's MAC: 02:42 and the four bytes of its IPv4 address. */
export function macOf(address: number): Buffer {
  const mac = Buffer.from([0x02, 0x42, 0, 0, 0, 0]);
  mac.writeUInt32BE(address, 2);
  return mac;
}
