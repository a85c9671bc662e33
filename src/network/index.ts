/**
 * The default bridge network: addresses, veths, published ports.
 *
 * The way of a start, in the order of the calls:
 *
 *     reserve ──▶ conmon is launched (inherits reservation.sockets) ──▶ reservation[Symbol.dispose]()
 *        └─▶ prepareHost (bridge, nftables; while the runtime works) ──▶ plug(pid of the created container) ──▶ start
 *     … the container dies … ──▶ release (idempotent)
 *
 * `host`, `none` and `container:x` need none of these calls.
 */
export { describeNetworkSettings, portSummaries } from "./describe.ts";
export { plug, prepareHost, release, reserve } from "./endpoint.ts";
export { explainForwardPolicy } from "./forwarding.ts";
export { hostsFile } from "./hosts.ts";
export type {
  Endpoint,
  EndpointRequest,
  NetworkMode,
  Protocol,
  PublishedPort,
  Reservation,
} from "./model.ts";
export { formatNetworkMode, parseNetworkMode } from "./mode.ts";
export { checkPortBindings } from "./ports.ts";
export { findEndpoint, listEndpoints, listNetworks, networkIdOf } from "./records.ts";
export { repairNetwork, teardownInstance } from "./repair.ts";
export { resolvConf } from "./resolv.ts";
export { interfaceStatistics } from "./statistics.ts";
