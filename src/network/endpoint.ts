/** A container's endpoint on the bridge, from its address to its removal. */
import { hasErrno, InvalidParameter, SystemFailure, Unavailable } from "../core/errors.ts";
import { faultPoint } from "../core/fault.ts";
import { randomId } from "../core/ids.ts";
import { formatIpv4, formatMac, parseIpv4, parseMac } from "../linux/addresses.ts";
import { findInterface } from "../linux/interfaces.ts";
import { closeNamespace, openNamespace, withNetworkNamespace } from "../linux/namespaces.ts";
import { NetlinkSocket } from "../linux/netlink.ts";
import {
  addAddress,
  addDefaultRoute,
  createVeth,
  deleteLink,
  findLink,
  type Link,
  learnMac,
  setHairpin,
  setUp,
  withoutLinkLocalAddress,
} from "../linux/rtnetlink.ts";
import type { State } from "../state/state.ts";
import { type Bridge, ensureBridge, ensureTable } from "./bridge.ts";
import { addPublishedPorts, removePublishedPorts } from "./firewall.ts";
import { forgetFlows } from "./flows.ts";
import type { Endpoint, EndpointRequest, HeldPort, Reservation } from "./model.ts";
import { holdPorts, keepPorts, PortTaken, releaseSockets, socketsOf } from "./ports.ts";
import { deleteEndpoint, derivedId, findEndpoint, saveEndpoint } from "./records.ts";
import { chooseAddress, gatewayOf, macOf } from "./subnets.ts";

/** The container's end of the veth. */
const containerLink = "eth0";
/** How long to wait for a conmon that still holds a port and is about to end; milliseconds. */
const patience = 300;
/** How long the kernel's work queue may take to notice a carrier on a busy machine; milliseconds. */
const carrierTimeout = 5000;
const pause = 10;

/**
 * Gives the container an address and takes its host ports: recorded first, so that `repairNetwork` finds them after
 * a crash. The bridge is made if it is not there. An endpoint that the container had is replaced.
 * @throws PortTaken in Docker's words; InvalidParameter; Unavailable when something is missing or full.
 */
export async function reserve(state: State, request: EndpointRequest): Promise<Reservation> {
  const bridge = await ensureBridge(state);
  const deadline = performance.now() + patience;
  for (;;) {
    try {
      return reserveNow(state, request, bridge);
    } catch (error) {
      if (!(error instanceof PortTaken && error.mayPass) || performance.now() > deadline) throw error;
      await Bun.sleep(pause);
    }
  }
}

function reserveNow(state: State, request: EndpointRequest, bridge: Bridge): Reservation {
  let held: HeldPort[] = [];
  const endpointId = randomId();
  try {
    const endpoint = state.transaction(() => {
      deleteEndpoint(state, request.containerId);
      const address = chooseAddress(bridge.subnet, usedAddresses(state, bridge.network.id));
      held = holdPorts(state, request, endpointId);
      const reserved: Endpoint = {
        endpointId,
        networkId: bridge.network.id,
        networkName: bridge.network.name,
        containerId: request.containerId,
        containerName: request.containerName,
        address: formatIpv4(address),
        prefixLength: bridge.subnet.prefixLength,
        gateway: formatIpv4(gatewayOf(bridge.subnet)),
        mac: formatMac(chosenMac(request) ?? macOf(address)),
        hostLink: hostLinkOf(state.instance.name, request.containerId, endpointId),
        ports: held.map(({ socket: _, ...port }) => port),
      };
      saveEndpoint(state, reserved);
      return reserved;
    });
    faultPoint("reserve:recorded");
    const open = [...held];
    return {
      endpoint,
      held,
      sockets: socketsOf(held),
      [Symbol.dispose]: () => releaseSockets(open.splice(0)),
    };
  } catch (error) {
    releaseSockets(held);
    throw error;
  }
}

function usedAddresses(state: State, networkId: string): string[] {
  return state.db
    .query<{ address: string }, [string]>("SELECT address FROM endpoints WHERE network_id = ?")
    .all(networkId)
    .map(({ address }) => address);
}

function chosenMac(request: EndpointRequest): Buffer | undefined {
  if (request.macAddress === undefined || request.macAddress === "") return undefined;
  const mac = parseMac(request.macAddress);
  if (mac === undefined) throw new InvalidParameter(`invalid MAC address: ${request.macAddress}`);
  return mac;
}

/**
 * At most 15 bytes. Another one for each run of a container: the kernel may still be taking down the last run's
 * namespace and veth, and removing that by hand costs 10 ms and more.
 */
function hostLinkOf(instanceName: string, containerId: string, endpointId: string): string {
  return `dv${derivedId(instanceName, containerId, endpointId).slice(0, 11)}`;
}

/**
 * What the host needs before the container starts: the instance's rules, and its published ports led to its
 * address. May run while the runtime makes the container. Idempotent.
 * @throws PortTaken when another process took one of the ports since `reserve`.
 */
export async function prepareHost(state: State, reservation: Reservation): Promise<void> {
  const { endpoint, held } = reservation;
  await ensureTable(state);
  if (endpoint.ports.length === 0) return;
  addPublishedPorts(state.instance.table, endpoint);
  // In this order: until a port leads to the container, its socket refuses connections; then nothing reaches it.
  keepPorts(endpoint, held);
  forgetFlows(endpoint);
}

/**
 * Wires a created, not yet started container: a veth between the bridge and its namespace, address, default
 * route, loopback. When it returns, packets flow both ways.
 * @param pid the container's first process. @throws LinuxError ENOENT or ESRCH when it is gone.
 */
export async function plug(state: State, endpoint: Endpoint, pid: number): Promise<void> {
  const namespace = openNamespace(`/proc/${pid}/ns/net`);
  try {
    await plugInto(state, endpoint, namespace);
  } finally {
    closeNamespace(namespace);
  }
}

/**
 * As `plug`, for a network namespace that is there before any process is in it.
 * @param namespace open; stays the caller's.
 */
export async function plugInto(state: State, endpoint: Endpoint, namespace: number): Promise<void> {
  const address = parseIpv4(endpoint.address);
  const gateway = parseIpv4(endpoint.gateway);
  const mac = parseMac(endpoint.mac);
  if (address === undefined || gateway === undefined || mac === undefined) {
    throw new SystemFailure(`the record of endpoint ${endpoint.endpointId} is damaged`);
  }
  using host = new NetlinkSocket("route");
  const bridge = findInterface(state.instance.bridge);
  if (bridge === undefined) throw new SystemFailure(`bridge ${state.instance.bridge} is not there any more`);
  makeVeth(host, endpoint, bridge.index, { name: containerLink, mac, namespace });
  faultPoint("plug:veth");
  withNetworkNamespace(namespace, () => {
    using inside = new NetlinkSocket("route");
    const link = findInterface(containerLink);
    if (link === undefined) throw new SystemFailure(`${containerLink} is missing in the container`);
    inside.batch([
      setUp("lo"),
      withoutLinkLocalAddress(containerLink),
      addAddress(link.index, address, endpoint.prefixLength),
      setUp(containerLink),
      addDefaultRoute(gateway),
    ]);
  });
  // In this order: the first port to carry is what gives the bridge its carrier.
  const port = await untilOperational(host, endpoint.hostLink);
  await untilOperational(host, state.instance.bridge);
  // A container that has just gone may have had this address, and so this MAC, behind a port that is still there.
  host.batch([learnMac(port.index, mac)]);
}

/**
 * The kernel notices a link's carrier in a work queue of its own; until then the link drops what it should send,
 * and a bridge does not forward to it, so that a container's first connection would hang for a second.
 * Asking for the link makes kernels since 6.8 notice at once; older ones take their time, mostly under 1 ms.
 */
async function untilOperational(host: NetlinkSocket, name: string): Promise<Link> {
  const deadline = performance.now() + carrierTimeout;
  for (;;) {
    const link = findLink(host, name);
    if (link === undefined) throw new SystemFailure(`link ${name} was removed while it was being plugged in`);
    if (link.isOperational) return link;
    if (performance.now() > deadline) throw new SystemFailure(`link ${name} got no carrier`);
    await Bun.sleep(1);
  }
}

function makeVeth(
  host: NetlinkSocket,
  endpoint: Endpoint,
  master: number,
  peer: { name: string; mac: Buffer; namespace: number },
): void {
  const name = endpoint.hostLink;
  try {
    host.batch([
      createVeth({ name, master, peer }),
      withoutLinkLocalAddress(name),
      setHairpin(name),
      setUp(name),
    ]);
  } catch (cause) {
    if (!hasErrno(cause, "EOPNOTSUPP", "ENOTSUP")) throw cause;
    throw new Unavailable(
      "this kernel has no veth links (CONFIG_VETH); load the module (modprobe veth), or use --network host or none",
      { cause },
    );
  }
}

export interface ReleaseOptions {
  /**
   * Another process may live on in the container's namespace (`--network container:x`), so that the veth does not
   * die with it: remove it now. The kernel takes 10–20 ms for that.
   */
  readonly removeLink?: boolean;
}

/**
 * Gives back everything: port rules first, while the port's rows still keep others away from them; then address
 * and ports. The veth dies with the namespace. Idempotent.
 */
export function release(state: State, containerId: string, options: ReleaseOptions = {}): void {
  const endpoint = findEndpoint(state, containerId);
  if (endpoint === undefined) return;
  if (endpoint.ports.length > 0) removePublishedPorts(state.instance.table, endpoint);
  faultPoint("release:rules");
  if (options.removeLink === true) {
    using socket = new NetlinkSocket("route");
    socket.batch([deleteLink(endpoint.hostLink)]);
  }
  state.transaction(() => deleteEndpoint(state, containerId));
}
