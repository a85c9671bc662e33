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

import { type Nftables, NftablesFailure } from "../linux/nftables.ts";
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
    ${endpoints.map((endpoint) => addCommands(table, endpoint)).join("\n")}
  `;
}

function keyOf(port: PublishedPort): string {
  const key = `${port.protocol} . ${port.hostPort}`;
  return port.hostIp === anyAddress ? key : `${port.hostIp} . ${key}`;
}

function mapOf(port: PublishedPort): string {
  return port.hostIp === anyAddress ? "published" : "published_at";
}

/** `verb element` commands, one for each map that has some. */
function elementCommands(
  verb: "add" | "delete",
  table: string,
  ports: readonly PublishedPort[],
  element: (port: PublishedPort) => string,
): string {
  return ["published", "published_at"]
    .map((map) => ({ map, elements: ports.filter((port) => mapOf(port) === map).map(element) }))
    .filter(({ elements }) => elements.length > 0)
    .map(({ map, elements }) => `${verb} element inet ${table} ${map} { ${elements.join(", ")} }\n`)
    .join("");
}

function addCommands(table: string, endpoint: Endpoint): string {
  return elementCommands(
    "add",
    table,
    endpoint.ports,
    (port) => `${keyOf(port)} : ${endpoint.address} . ${port.containerPort}`,
  );
}

/** Leads the endpoint's ports to it, in one transaction. What a crash left in their place is replaced. */
export function addPublishedPorts(nftables: Nftables, table: string, endpoint: Endpoint): void {
  try {
    nftables.run(addCommands(table, endpoint));
  } catch (error) {
    if (!(error instanceof NftablesFailure && error.isTaken)) throw error;
    removePublishedPorts(nftables, table, endpoint.ports);
    nftables.run(addCommands(table, endpoint));
  }
}

/** Takes the ports away, in one transaction. What is not there (any more) is no failure. */
export function removePublishedPorts(
  nftables: Nftables,
  table: string,
  ports: readonly PublishedPort[],
): void {
  if (ports.length === 0) return;
  try {
    nftables.run(elementCommands("delete", table, ports, keyOf));
  } catch (error) {
    if (!(error instanceof NftablesFailure && error.isMissing)) throw error;
    // Some were gone, and so none was removed: one after the other then.
    for (const port of ports) removeOne(nftables, table, port);
  }
}

function removeOne(nftables: Nftables, table: string, port: PublishedPort): void {
  try {
    nftables.run(elementCommands("delete", table, [port], keyOf));
  } catch (error) {
    if (!(error instanceof NftablesFailure && error.isMissing)) throw error;
  }
}
