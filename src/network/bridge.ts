/** The instance's bridge, with its address and its nftables table. */

import { hasErrno, SystemFailure, Unavailable } from "../core/errors.ts";
import { formatIpv4, formatIpv4Subnet, type Ipv4Subnet, parseIpv4Subnet } from "../linux/addresses.ts";
import { readFileSync, writeFileSync } from "../linux/files.ts";
import { findInterface } from "../linux/interfaces.ts";
import { NetlinkSocket } from "../linux/netlink.ts";
import { findTableComment, Nftables } from "../linux/nftables.ts";
import {
  addAddress,
  createBridge,
  deleteLink,
  findLink,
  type Link,
  listRoutedSubnets,
  listSubnetsOfAddresses,
  setAlias,
  setUp,
  withoutLinkLocalAddress,
} from "../linux/rtnetlink.ts";
import type { State } from "../state/state.ts";
import { commentOf, type FirewallTable, tableCommands } from "./firewall.ts";
import { lockSubnetsOfMachine } from "./machine-lock.ts";
import { builtInNetwork, derivedId, listEndpoints, type NetworkRecord, saveNetwork } from "./records.ts";
import { chooseSubnet, gatewayOf, isFree } from "./subnets.ts";

export interface Bridge {
  readonly network: NetworkRecord;
  readonly subnet: Ipv4Subnet;
}

const forwardingPath = "/proc/sys/net/ipv4/ip_forward";

/**
 * The bridge, made with its table if it is not there or not whole. When it stands, that is seen in about 50 µs and
 * without the kernel's rtnl lock.
 * @throws Unavailable when the kernel lacks bridges or nftables, or no subnet is free.
 */
export async function ensureBridge(state: State): Promise<Bridge> {
  return findBridge(state) ?? (await makeBridge(state));
}

/**
 * The table, made again with the ports of all endpoints if somebody has flushed it or an older davit made it.
 * Asking may wait for others' nftables transactions, so this is done while the runtime is at work.
 */
export async function ensureTable(state: State): Promise<void> {
  const { subnet } = builtInNetwork(state, "bridge");
  if (subnet === undefined || hasTable(state, subnet)) return;
  using _machine = await lockSubnetsOfMachine();
  if (!hasTable(state, subnet)) makeTable(state, subnet);
}

function wantedTable(state: State, subnet: string): FirewallTable {
  return { table: state.instance.table, bridge: state.instance.bridge, subnet };
}

function hasTable(state: State, subnet: string): boolean {
  return findTableComment(state.instance.table) === commentOf(wantedTable(state, subnet));
}

function makeTable(state: State, subnet: string): void {
  const { id } = builtInNetwork(state, "bridge");
  const here = listEndpoints(state).filter((endpoint) => endpoint.networkId === id);
  using nftables = new Nftables();
  nftables.run(tableCommands(wantedTable(state, subnet), here));
}

function aliasOf(state: State, subnet: string): string {
  return `${state.instance.name} ${subnet}`;
}

/** The bridge, if it stands as recorded. One that is up has its address: it comes up after it. */
function findBridge(state: State): Bridge | undefined {
  const network = builtInNetwork(state, "bridge");
  const subnet = network.subnet === undefined ? undefined : parseIpv4Subnet(network.subnet);
  if (subnet === undefined || findInterface(state.instance.bridge)?.isUp !== true) return undefined;
  return forwards() ? { network, subnet } : undefined;
}

function forwards(): boolean {
  return readFileSync(forwardingPath, "latin1").startsWith("1");
}

async function makeBridge(state: State): Promise<Bridge> {
  using socket = new NetlinkSocket("route");
  using _machine = await lockSubnetsOfMachine();
  // Another process may have made it while we waited.
  const made = findBridge(state);
  if (made !== undefined) return made;

  const { bridge } = state.instance;
  const subnet = standingSubnet(state, findLink(socket, bridge)) ?? makeLink(state, socket);
  const text = formatIpv4Subnet(subnet);
  const network = {
    ...builtInNetwork(state, "bridge"),
    subnet: text,
    gateway: formatIpv4(gatewayOf(subnet)),
  };
  setSysctl(`/proc/sys/net/ipv4/conf/${bridge}/route_localnet`, "1");
  if (!forwards()) setSysctl(forwardingPath, "1");
  if (!hasTable(state, text)) makeTable(state, text);
  // Last: whoever finds a subnet on record and the bridge up takes all of it for done.
  state.transaction(() => saveNetwork(state, network));
  return { network, subnet };
}

/** The subnet of a bridge that stands whole: its alias is the last thing that is set on it. */
function standingSubnet(state: State, link: Link | undefined): Ipv4Subnet | undefined {
  if (link?.isUp !== true || link.kind !== "bridge") return undefined;
  const [name, subnet] = link.alias?.split(" ") ?? [];
  return name === state.instance.name && subnet !== undefined ? parseIpv4Subnet(subnet) : undefined;
}

/** Makes the link under the machine's lock, on the recorded subnet if that is still free. */
function makeLink(state: State, socket: NetlinkSocket): Ipv4Subnet {
  const { bridge, name } = state.instance;
  // What stands there is half made: nothing is plugged into it yet.
  socket.batch([deleteLink(bridge)]);
  const used = [...listSubnetsOfAddresses(socket), ...listRoutedSubnets(socket)];
  const recorded = parseIpv4Subnet(builtInNetwork(state, "bridge").subnet ?? "");
  const subnet = recorded !== undefined && isFree(recorded, used) ? recorded : chooseSubnet(used);
  // A fixed MAC: else a bridge takes its lowest port's, and containers' ARP entries go stale with each change.
  const mac = Buffer.from(`0242${derivedId("bridge", name).slice(0, 8)}`, "hex");
  try {
    socket.batch([createBridge(bridge, mac)]);
  } catch (cause) {
    if (!hasErrno(cause, "EOPNOTSUPP", "ENOTSUP")) throw cause;
    throw new Unavailable(
      "this kernel has no bridges (CONFIG_BRIDGE); load the module (modprobe bridge), or use --network host or none",
      { cause },
    );
  }
  const link = findLink(socket, bridge);
  if (link === undefined) throw new SystemFailure(`bridge ${bridge} was removed while it was being made`);
  socket.batch([
    withoutLinkLocalAddress(bridge),
    addAddress(link.index, gatewayOf(subnet), subnet.prefixLength),
    setUp(bridge),
    setAlias(bridge, aliasOf(state, formatIpv4Subnet(subnet))),
  ]);
  return subnet;
}

function setSysctl(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch (cause) {
    if (!hasErrno(cause, "EROFS", "EACCES", "EPERM")) throw cause;
    const name = path.slice("/proc/sys/".length).replaceAll("/", ".");
    throw new Unavailable(
      `cannot set ${name}, which bridge networks need: run \`sysctl -w ${name}=${value}\` where it can be set, or use --network host or none`,
      { cause },
    );
  }
}
