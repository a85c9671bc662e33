/**
 * Adds and removes single elements of nftables maps over netlink, in one transaction and in a time that does not
 * depend on what else the machine's firewall holds. linux/netfilter/nf_tables.h, nfnetlink.h.
 */
import { type NamedRequest, NetlinkMessage, NetlinkSocket } from "./netlink.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_DELSETELEM = 14;
const NLM_F_CREATE = 0x400;
const NFPROTO_INET = 1;
const NFTA_SET_ELEM_LIST = { table: 1, set: 2, elements: 3 } as const;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM = { key: 1, data: 2 } as const;
const NFTA_DATA_VALUE = 1;
/** A netlink attribute holds at most 64 KiB. */
const elementsInOneMessage = 500;

/** Key and value as the kernel holds them: fields in network byte order, each filled up to four bytes. */
export interface MapElement {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The elements of one map of a table of family inet. */
export interface MapElements {
  readonly table: string;
  readonly map: string;
  readonly elements: readonly MapElement[];
}

/**
 * One transaction. An element that is there with the same value is no failure.
 * @throws LinuxError EEXIST when a key is there with another value, ENOENT when table or map is not there.
 */
export function addElements(changes: readonly MapElements[]): void {
  change(NFT_MSG_NEWSETELEM, NLM_F_CREATE, "add elements to", changes);
}

/** One transaction. @throws LinuxError ENOENT when an element, map or table is not there; then none was removed. */
export function deleteElements(changes: readonly MapElements[]): void {
  change(NFT_MSG_DELSETELEM, 0, "delete elements of", changes);
}

function change(type: number, flags: number, verb: string, changes: readonly MapElements[]): void {
  const requests = changes.flatMap((one) =>
    pieces(one.elements).map((elements) => ({
      message: elementsMessage(type, flags, { ...one, elements }),
      act: `${verb} map inet ${one.table} ${one.map}`,
    })),
  );
  if (requests.length === 0) return;
  using socket = new NetlinkSocket("netfilter");
  socket.transaction(
    boundary(NFNL_MSG_BATCH_BEGIN),
    requests satisfies NamedRequest[],
    boundary(NFNL_MSG_BATCH_END),
  );
}

function pieces(elements: readonly MapElement[]): MapElement[][] {
  const count = Math.ceil(elements.length / elementsInOneMessage);
  return Array.from({ length: count }, (_, piece) =>
    elements.slice(piece * elementsInOneMessage, (piece + 1) * elementsInOneMessage),
  );
}

/** What stands around a transaction names its subsystem in network byte order. */
function boundary(type: number): NetlinkMessage {
  return new NetlinkMessage(type, 0).raw(Buffer.from([0, 0, 0, NFNL_SUBSYS_NFTABLES]));
}

function elementsMessage(type: number, flags: number, { table, map, elements }: MapElements): NetlinkMessage {
  return new NetlinkMessage((NFNL_SUBSYS_NFTABLES << 8) | type, flags)
    .raw(Buffer.from([NFPROTO_INET, 0, 0, 0]))
    .text(NFTA_SET_ELEM_LIST.table, table)
    .text(NFTA_SET_ELEM_LIST.set, map)
    .nested(NFTA_SET_ELEM_LIST.elements, (list) => {
      for (const { key, value } of elements) {
        list.nested(NFTA_LIST_ELEM, (element) => {
          element.nested(NFTA_SET_ELEM.key, (data) => data.attribute(NFTA_DATA_VALUE, key));
          // A deletion names keys alone.
          if (type === NFT_MSG_NEWSETELEM) {
            element.nested(NFTA_SET_ELEM.data, (data) => data.attribute(NFTA_DATA_VALUE, value));
          }
        });
      }
    });
}
