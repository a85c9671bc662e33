import { parseIpv4 } from "../linux/addresses.ts";
import { deleteUdpFlows } from "../linux/conntrack.ts";
import type { Endpoint } from "./model.ts";

/**
 * Makes the kernel forget UDP flows to the endpoint's published ports. UDP has no end that conntrack could see: a
 * peer that keeps sending would be led to where the port led before, to a container that is gone, or nowhere.
 */
export function forgetFlows(endpoint: Endpoint): void {
  const ports = new Set(
    endpoint.ports.filter(({ protocol }) => protocol === "udp").map(({ hostPort }) => hostPort),
  );
  const address = parseIpv4(endpoint.address);
  if (ports.size > 0 && address !== undefined) deleteUdpFlows((flow) => ports.has(flow.destinationPort));
}
