/** Tracked connections over netlink. linux/netfilter/nfnetlink_conntrack.h. */
import { type NamedRequest, NetlinkMessage, NetlinkSocket, parseAttributes } from "./netlink.ts";

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const AF_INET = 2;
const IPPROTO_UDP = 17;
const CTA_TUPLE_ORIG = 1;
const CTA_ID = 12;
const CTA_TUPLE = { ip: 1, protocol: 2 } as const;
const CTA_PROTO = { number: 1, destinationPort: 3 } as const;

export interface UdpFlow {
  /** Where its first packet was sent, before any translation. */
  readonly destinationPort: number;
}

function request(kind: number, flags: number): NetlinkMessage {
  return new NetlinkMessage((NFNL_SUBSYS_CTNETLINK << 8) | kind, flags).raw(Buffer.from([AF_INET, 0, 0, 0]));
}

/** Forgets all IPv4 UDP flows that `isStale` names: the next packet is a new flow. Reads the whole table once. */
export function deleteUdpFlows(isStale: (flow: UdpFlow) => boolean): void {
  using socket = new NetlinkSocket("netfilter");
  const deletions: NamedRequest[] = [];
  socket.dump({ message: request(IPCTNL_MSG_CT_GET, 0), act: "list connections" }, (payload) => {
    const attributes = parseAttributes(payload.subarray(4));
    const tuple = attributes.get(CTA_TUPLE_ORIG);
    const id = attributes.get(CTA_ID);
    if (tuple === undefined || id === undefined) return;
    const protocol = parseAttributes(parseAttributes(tuple).get(CTA_TUPLE.protocol) ?? Buffer.alloc(0));
    if (protocol.get(CTA_PROTO.number)?.readUInt8(0) !== IPPROTO_UDP) return;
    const destinationPort = protocol.get(CTA_PROTO.destinationPort)?.readUInt16BE(0);
    if (destinationPort === undefined || !isStale({ destinationPort })) return;
    deletions.push({
      message: request(IPCTNL_MSG_CT_DELETE, 0)
        .attribute(CTA_TUPLE_ORIG | 0x8000, Buffer.from(tuple))
        .attribute(CTA_ID, Buffer.from(id)),
      act: "forget a connection",
      tolerated: ["ENOENT"],
    });
  });
  // In pieces: each acknowledgement takes room in the socket's buffer.
  for (let at = 0; at < deletions.length; at += 64) socket.batch(deletions.slice(at, at + 64));
}
