/**
 * The default bridge network: addresses, veths, published ports.
 *
 * The way of a start, in the order of the calls:
 *
 *     reserve ─┬▶ conmon is launched, and inherits reservation.sockets ─┬▶ dispose the reservation
 *              └▶ prepareHost (rules), while the runtime makes the container ┘   ──▶ plug(its pid) ──▶ start
 *     … the container dies … ──▶ release (idempotent)
 *
 * `host`, `none` and `container:x` need none of these calls.
 */

export { parseContainerPort } from "./container-ports.ts";
export { derivedEndpointId, describeNetworkSettings, type NetworkFacts, portSummaries } from "./describe.ts";
export { plug, prepareHost, type ReleaseOptions, release, reserve } from "./endpoint.ts";
export { explainForwardPolicy } from "./forwarding.ts";
export { type HostsRequest, hostsFile } from "./hosts.ts";
export { formatNetworkMode, parseNetworkMode } from "./mode.ts";
export type {
  Endpoint,
  EndpointRequest,
  HeldPort,
  NetworkMode,
  Protocol,
  PublishedPort,
  Reservation,
} from "./model.ts";
export { checkPortBindings } from "./ports.ts";
export { findEndpoint, listEndpoints, listNetworks, type NetworkRecord, networkIdOf } from "./records.ts";
export { repairNetwork, teardownInstance } from "./repair.ts";
export { type ResolvConfRequest, resolvConf } from "./resolv.ts";
export { type InterfaceStatistics, interfaceStatistics } from "./statistics.ts";
