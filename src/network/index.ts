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

export { derivedEndpointId, describeNetworkSettings } from "./describe.ts";
export { plug, prepareHost, release, reserve } from "./endpoint.ts";
export { explainForwardPolicy } from "./forwarding.ts";
export type { Endpoint } from "./model.ts";
export { findEndpoint, listEndpoints, listNetworks, type NetworkRecord } from "./records.ts";
export { repairNetwork, teardownInstance } from "./repair.ts";
