/** Finding and removing what a crash left, and removing all that an instance owns. */
import type { Instance } from "../core/instance.ts";
import { NetlinkSocket } from "../linux/netlink.ts";
import { findTableComment, Nftables } from "../linux/nftables.ts";
import { deleteLink, findLink, listLinks } from "../linux/rtnetlink.ts";
import type { State } from "../state/state.ts";
import { release } from "./endpoint.ts";
import { listEndpoints } from "./records.ts";

/**
 * Gives back rules, addresses, ports and veths of containers that are not among the living. To be called by one
 * process at a time, with nobody between `reserve` and the record of a running container but those that `live`
 * names.
 * @returns ids of the containers whose endpoints were released.
 */
export function repairNetwork(state: State, live: ReadonlySet<string>): string[] {
  const gone = listEndpoints(state).filter(({ containerId }) => !live.has(containerId));
  for (const { containerId } of gone) release(state, containerId);
  removeStrayLinks(state.instance, () => listEndpoints(state).map(({ hostLink }) => hostLink));
  return gone.map(({ containerId }) => containerId);
}

/**
 * Removes the ports of the instance's bridge that no endpoint has. What is kept is read after the links: an endpoint
 * is on record before its link is made.
 */
function removeStrayLinks(instance: Instance, namesToKeep: () => string[]): void {
  using socket = new NetlinkSocket("route");
  const bridge = findLink(socket, instance.bridge);
  if (bridge === undefined) return;
  const plugged = listLinks(socket).filter(({ master, kind }) => master === bridge.index && kind === "veth");
  const kept = new Set(namesToKeep());
  for (const { name } of plugged) {
    if (!kept.has(name)) socket.batch([deleteLink(name)]);
  }
}

/**
 * Removes the instance's bridge, everything plugged into it, and its nftables table. Records stay; the next
 * `reserve` makes bridge and table anew. Idempotent.
 */
export function teardownInstance(instance: Instance): void {
  removeStrayLinks(instance, () => []);
  using socket = new NetlinkSocket("route");
  socket.batch([deleteLink(instance.bridge)]);
  if (findTableComment(instance.table) !== undefined)
    new Nftables().run(`delete table inet ${instance.table}`);
}
