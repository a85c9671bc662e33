/** Links, addresses and routes over rtnetlink. rtnetlink(7); linux/if_link.h, linux/veth.h. */
import { broadcastOf, type Ipv4Subnet, ipv4Bytes, subnetOf } from "./addresses.ts";
import {
  attributeText,
  messageFlag,
  type NamedRequest,
  NetlinkMessage,
  type NetlinkSocket,
  parseAttributes,
} from "./netlink.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_NEWNEIGH = 28;
const RTM_GETROUTE = 26;

const AF_INET = 2;
const AF_BRIDGE = 7;
const AF_INET6 = 10;

const IFF_UP = 1;
const IFLA = {
  address: 1,
  name: 3,
  master: 10,
  operationalState: 16,
  linkInfo: 18,
  alias: 20,
  addressFamilies: 26,
  namespaceFd: 28,
  txQueues: 31,
  rxQueues: 32,
} as const;
const IFLA_INFO = { kind: 1, data: 2, slaveKind: 4, slaveData: 5 } as const;
const IF_OPER_UP = 6;
const VETH_INFO_PEER = 1;
const IFLA_BRPORT_MODE = 4;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFA = { address: 1, local: 2, broadcast: 4 } as const;
const RTA = { destination: 1, outputInterface: 4, gateway: 5 } as const;
const NUD_REACHABLE = 0x02;
const NTF_MASTER = 0x04;
const NDA_LLADDR = 2;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
const RTN_UNICAST = 1;

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Index of the bridge that it is a port of. */
  readonly master: number | undefined;
  readonly isUp: boolean;
  /** It passes packets: up, and its carrier has been noticed (RFC 2863's ifOperStatus). */
  readonly isOperational: boolean;
  /** `bridge`, `veth` …; undefined for hardware. */
  readonly kind: string | undefined;
  /** Free text that its maker left on it (`ip link set alias`). */
  readonly alias: string | undefined;
}

function linkHeader(
  options: { family?: number; index?: number; flags?: number; change?: number } = {},
): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt8(options.family ?? 0, 0);
  header.writeInt32LE(options.index ?? 0, 4);
  header.writeUInt32LE(options.flags ?? 0, 8);
  header.writeUInt32LE(options.change ?? 0, 12);
  return header;
}

function parseLink(payload: Buffer): Link {
  const attributes = parseAttributes(payload.subarray(16));
  const info = attributes.get(IFLA.linkInfo);
  return {
    index: payload.readInt32LE(4),
    name: attributeText(attributes.get(IFLA.name)) ?? "",
    master: attributes.get(IFLA.master)?.readUInt32LE(0),
    isUp: (payload.readUInt32LE(8) & IFF_UP) !== 0,
    isOperational: attributes.get(IFLA.operationalState)?.readUInt8(0) === IF_OPER_UP,
    kind: info === undefined ? undefined : attributeText(parseAttributes(info).get(IFLA_INFO.kind)),
    alias: attributeText(attributes.get(IFLA.alias)),
  };
}

export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  const message = new NetlinkMessage(RTM_GETLINK, 0).raw(linkHeader()).text(IFLA.name, name);
  const payload = socket.get({ message, act: `get link ${name}` });
  return payload === undefined ? undefined : parseLink(payload);
}

export function listLinks(socket: NetlinkSocket): Link[] {
  const links: Link[] = [];
  const message = new NetlinkMessage(RTM_GETLINK, 0).raw(linkHeader());
  socket.dump({ message, act: "list links" }, (payload) => links.push(parseLink(payload)));
  return links;
}

/** All IPv4 addresses of all links, each with the subnet that it makes reachable. */
export function listSubnetsOfAddresses(socket: NetlinkSocket): Ipv4Subnet[] {
  const subnets: Ipv4Subnet[] = [];
  const message = new NetlinkMessage(RTM_GETADDR, 0).raw(Buffer.from([AF_INET, 0, 0, 0, 0, 0, 0, 0]));
  socket.dump({ message, act: "list addresses" }, (payload) => {
    const attributes = parseAttributes(payload.subarray(8));
    // For a point-to-point link `address` is the peer's; for others both are the same.
    for (const value of [attributes.get(IFA.address), attributes.get(IFA.local)]) {
      if (value?.length === 4) subnets.push(subnetOf(value.readUInt32BE(0), payload.readUInt8(1)));
    }
  });
  return subnets;
}

/** Destinations of all IPv4 routes of all tables, default routes left out. */
export function listRoutedSubnets(socket: NetlinkSocket): Ipv4Subnet[] {
  const subnets: Ipv4Subnet[] = [];
  const header = Buffer.alloc(12);
  header.writeUInt8(AF_INET, 0);
  const message = new NetlinkMessage(RTM_GETROUTE, 0).raw(header);
  socket.dump({ message, act: "list routes" }, (payload) => {
    const destination = parseAttributes(payload.subarray(12)).get(RTA.destination);
    if (destination?.length === 4) subnets.push(subnetOf(destination.readUInt32BE(0), payload.readUInt8(1)));
  });
  return subnets;
}

/** Makes a bridge, down. EEXIST when a link of that name is there. */
export function createBridge(name: string, mac: Uint8Array): NamedRequest {
  const message = new NetlinkMessage(RTM_NEWLINK, messageFlag.create | messageFlag.exclusive)
    .raw(linkHeader())
    .text(IFLA.name, name)
    .attribute(IFLA.address, mac)
    .nested(IFLA.linkInfo, (info) => info.text(IFLA_INFO.kind, "bridge"));
  return { message, act: `create bridge ${name}` };
}

export interface VethOptions {
  readonly name: string;
  /** Index of the bridge that this end becomes a port of. */
  readonly master?: number | undefined;
  readonly peer: {
    readonly name: string;
    readonly mac: Uint8Array;
    /** An open network namespace in which the peer is made, so that it is never moved. */
    readonly namespace: number;
  };
}

/** Makes a pair of linked interfaces, both down. One queue each: more only cost time to make. */
export function createVeth(options: VethOptions): NamedRequest {
  const { peer } = options;
  const message = new NetlinkMessage(RTM_NEWLINK, messageFlag.create | messageFlag.exclusive)
    .raw(linkHeader())
    .text(IFLA.name, options.name)
    .uint32(IFLA.master, options.master ?? 0)
    .uint32(IFLA.txQueues, 1)
    .uint32(IFLA.rxQueues, 1)
    .nested(IFLA.linkInfo, (info) =>
      info
        .text(IFLA_INFO.kind, "veth")
        .nested(IFLA_INFO.data, (data) =>
          data.nested(VETH_INFO_PEER, (end) =>
            end
              .raw(linkHeader())
              .text(IFLA.name, peer.name)
              .attribute(IFLA.address, peer.mac)
              .uint32(IFLA.txQueues, 1)
              .uint32(IFLA.rxQueues, 1)
              .uint32(IFLA.namespaceFd, peer.namespace),
          ),
        ),
    );
  return { message, act: `create veth ${options.name}` };
}

/** Lets a bridge send a frame back to the port that it came from (a container that calls its own published port). */
export function setHairpin(name: string): NamedRequest {
  const message = new NetlinkMessage(RTM_NEWLINK, 0)
    .raw(linkHeader())
    .text(IFLA.name, name)
    .nested(IFLA.linkInfo, (info) =>
      info
        .text(IFLA_INFO.slaveKind, "bridge")
        .nested(IFLA_INFO.slaveData, (data) => data.uint8(IFLA_BRPORT_MODE, 1)),
    );
  return { message, act: `set hairpin mode of ${name}` };
}

/** No link-local IPv6 address when the link comes up. Must come before `setUp`: the kernel looks at flags first. */
export function withoutLinkLocalAddress(name: string): NamedRequest {
  const message = new NetlinkMessage(RTM_NEWLINK, 0)
    .raw(linkHeader())
    .text(IFLA.name, name)
    .nested(IFLA.addressFamilies, (families) =>
      families.nested(AF_INET6, (inet6) => inet6.uint8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
    );
  // A kernel without IPv6 has no such attribute, and nothing to switch off.
  return { message, act: `set address mode of ${name}`, tolerated: ["EAFNOSUPPORT", "EINVAL", "EOPNOTSUPP"] };
}

export function setUp(name: string): NamedRequest {
  const message = new NetlinkMessage(RTM_NEWLINK, 0)
    .raw(linkHeader({ flags: IFF_UP, change: IFF_UP }))
    .text(IFLA.name, name);
  return { message, act: `set link ${name} up` };
}

export function setAlias(name: string, alias: string): NamedRequest {
  const message = new NetlinkMessage(RTM_NEWLINK, 0)
    .raw(linkHeader())
    .text(IFLA.name, name)
    .attribute(IFLA.alias, Buffer.from(alias));
  return { message, act: `set alias of ${name}` };
}

/** Removes a link; a veth takes its peer with it. Not there is as good. */
export function deleteLink(name: string): NamedRequest {
  const message = new NetlinkMessage(RTM_DELLINK, 0).raw(linkHeader()).text(IFLA.name, name);
  return { message, act: `delete link ${name}`, tolerated: ["ENODEV"] };
}

export function addAddress(index: number, address: number, prefixLength: number): NamedRequest {
  const header = Buffer.alloc(8);
  header.writeUInt8(AF_INET, 0);
  header.writeUInt8(prefixLength, 1);
  header.writeUInt32LE(index, 4);
  const message = new NetlinkMessage(RTM_NEWADDR, messageFlag.create | messageFlag.exclusive)
    .raw(header)
    .attribute(IFA.local, ipv4Bytes(address))
    .attribute(IFA.address, ipv4Bytes(address))
    .attribute(IFA.broadcast, ipv4Bytes(broadcastOf(subnetOf(address, prefixLength))));
  return { message, act: "add address" };
}

/** The IPv4 default route, through a gateway that an address of a link already makes reachable. */
export function addDefaultRoute(gateway: number): NamedRequest {
  const header = Buffer.from([
    AF_INET,
    0,
    0,
    0,
    RT_TABLE_MAIN,
    RTPROT_BOOT,
    RT_SCOPE_UNIVERSE,
    RTN_UNICAST,
    0,
    0,
    0,
    0,
  ]);
  const message = new NetlinkMessage(RTM_NEWROUTE, messageFlag.create | messageFlag.exclusive)
    .raw(header)
    .attribute(RTA.gateway, ipv4Bytes(gateway));
  return { message, act: "add default route" };
}

/** Tells a bridge, as if it had learned it, which of its ports a MAC is behind. The port must be operational. */
export function learnMac(port: number, mac: Uint8Array): NamedRequest {
  const header = Buffer.alloc(12);
  header.writeUInt8(AF_BRIDGE, 0);
  header.writeInt32LE(port, 4);
  header.writeUInt16LE(NUD_REACHABLE, 8);
  header.writeUInt8(NTF_MASTER, 10);
  const message = new NetlinkMessage(RTM_NEWNEIGH, messageFlag.create | messageFlag.replace)
    .raw(header)
    .attribute(NDA_LLADDR, mac);
  return { message, act: "add forwarding entry" };
}
