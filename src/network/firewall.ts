/**
 * The instance's nftables table. One table, made once; a container adds and removes elements of its two maps.
 *
 * What leads where:
 * - prerouting (from outside and from containers) and output (from this host): a packet to a local address is
 *   looked up in the maps by address, protocol and port, or by protocol and port alone, and sent to the container.
 * - forward: into the bridge come only answers, what was sent there by a DNAT, and its own containers' traffic. An
 *   accept here ends this table only: chains of the user's own tables still see the packet, and their drop stands.
 * - postrouting: containers leave with the host's address; what reaches a container by a published port from a
 *   container or from 127.0.0.1 gets the bridge's, so that the answer comes back this way.
 * - guard: the bridge routes 127.0.0.0/8 (route_localnet), so that a published port is reachable at 127.0.0.1;
 *   containers must not reach the host's loopback by that, nor anything from outside a port published there.
 */

import { hasErrno, SystemFailure } from "../core/errors.ts";
import { ipv4Bytes, parseIpv4 } from "../linux/addresses.ts";
import {
  addElements,
  deleteElements,
  type MapElement,
  type MapElements,
} from "../linux/nftables-elements.ts";
import type { Endpoint, PublishedPort } from "./model.ts";

/** Grows when the text of the table changes, so that a newer davit replaces the table of an older one. */
const version = 1;
const anyAddress = "0.0.0.0";

export interface FirewallTable {
  readonly table: string;
  readonly bridge: string;
  /** `172.17.0.0/16` */
  readonly subnet: string;
}

/** What the table's comment says when it is as this davit wants it. */
export function commentOf(wanted: FirewallTable): string {
  return `${version} ${wanted.bridge} ${wanted.subnet}`;
}

/** One transaction that makes the table anew, with the elements of all endpoints that there are. */
export function tableCommands(wanted: FirewallTable, endpoints: readonly Endpoint[]): string {
  const { table, bridge, subnet } = wanted;
  return `
    add table inet ${table}
    delete table inet ${table}
    table inet ${table} {
      comment "${commentOf(wanted)}"
      map published_at {
        type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
      }
      map published {
        type inet_proto . inet_service : ipv4_addr . inet_service
      }
      chain publish {
        dnat ip to ip daddr . meta l4proto . th dport map @published_at
        dnat ip to meta l4proto . th dport map @published
      }
      chain guard {
        type filter hook prerouting priority raw; policy accept;
        iifname "${bridge}" ip daddr 127.0.0.0/8 drop
      }
      chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 127.0.0.0/8 return
        meta nfproto ipv4 fib daddr type local jump publish
      }
      chain output {
        type nat hook output priority -100; policy accept;
        meta nfproto ipv4 fib daddr type local jump publish
      }
      chain forward {
        type filter hook forward priority filter; policy accept;
        oifname != "${bridge}" return
        iifname "${bridge}" accept
        ct state established,related accept
        ct status dnat accept
        drop
      }
      chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname != "${bridge}" ip saddr ${subnet} masquerade
        oifname "${bridge}" ct status dnat ip saddr { ${subnet}, 127.0.0.0/8 } masquerade
      }
    }
    ${endpoints.map((endpoint) => elementCommands(table, endpoint)).join("\n")}
  `;
}

const mapNames = ["published", "published_at"] as const;
const protocolNumber = { tcp: 6, udp: 17, sctp: 132 } as const;

function mapOf(port: PublishedPort): (typeof mapNames)[number] {
  return port.hostIp === anyAddress ? "published" : "published_at";
}

/** An element in nft's language. */
function elementText(endpoint: Endpoint, port: PublishedPort): string {
  const key = `${port.protocol} . ${port.hostPort}`;
  const whole = mapOf(port) === "published" ? key : `${port.hostIp} . ${key}`;
  return `${whole} : ${endpoint.address} . ${port.containerPort}`;
}

function elementCommands(table: string, endpoint: Endpoint): string {
  return mapNames
    .map((map) => ({ map, ports: endpoint.ports.filter((port) => mapOf(port) === map) }))
    .filter(({ ports }) => ports.length > 0)
    .map(({ map, ports }) => {
      const elements = ports.map((port) => elementText(endpoint, port)).join(", ");
      return `add element inet ${table} ${map} { ${elements} }`;
    })
    .join("\n");
}

function addressBytes(address: string): Buffer {
  const value = parseIpv4(address);
  if (value === undefined)
    throw new SystemFailure(`the record of an endpoint is damaged: address ${address}`);
  return ipv4Bytes(value);
}

function portBytes(port: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16BE(port);
  return bytes;
}

/** The same element as `elementText`, as the kernel holds it. */
function element(endpoint: Endpoint, port: PublishedPort): MapElement {
  const key = Buffer.concat([
    Buffer.from([protocolNumber[port.protocol], 0, 0, 0]),
    portBytes(port.hostPort),
  ]);
  return {
    key: mapOf(port) === "published" ? key : Buffer.concat([addressBytes(port.hostIp), key]),
    value: Buffer.concat([addressBytes(endpoint.address), portBytes(port.containerPort)]),
  };
}

function elementsOf(table: string, endpoint: Endpoint, ports: readonly PublishedPort[]): MapElements[] {
  return mapNames
    .map((map) => ({
      table,
      map,
      elements: ports.filter((port) => mapOf(port) === map).map((port) => element(endpoint, port)),
    }))
    .filter(({ elements }) => elements.length > 0);
}

/** Leads the endpoint's ports to it, in one transaction. What a crash left in their place is replaced. */
export function addPublishedPorts(table: string, endpoint: Endpoint): void {
  const wanted = elementsOf(table, endpoint, endpoint.ports);
  try {
    addElements(wanted);
  } catch (error) {
    if (!hasErrno(error, "EEXIST")) throw error;
    removePublishedPorts(table, endpoint);
    addElements(wanted);
  }
}

/** Takes the endpoint's ports away, in one transaction. What is not there (any more) is no failure. */
export function removePublishedPorts(table: string, endpoint: Endpoint): void {
  try {
    deleteElements(elementsOf(table, endpoint, endpoint.ports));
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
    // Some were gone, and so none was removed: one after the other then.
    for (const port of endpoint.ports) removeOne(table, endpoint, port);
  }
}

function removeOne(table: string, endpoint: Endpoint, port: PublishedPort): void {
  try {
    deleteElements(elementsOf(table, endpoint, [port]));
  } catch (error) {
    if (!hasErrno(error, "ENOENT")) throw error;
  }
}
