/** A container's network as `inspect` and `ps` show it. */
import type { EndpointSettings, NetworkSettings, PortMap, PortSummary } from "../core/objects.ts";
import type { State } from "../state/state.ts";
import { parseContainerPort, readExposedPorts } from "./container-ports.ts";
import { parseNetworkMode } from "./mode.ts";
import type { Endpoint } from "./model.ts";

import { derivedId, findEndpoint, networkIdOf } from "./records.ts";

export interface NetworkFacts {
  readonly containerId: string;
  /** HostConfig.NetworkMode. */
  readonly networkMode: string;
  readonly running: boolean;
  /** First process of a running container, where it is known. */
  readonly pid?: number | undefined;
  /** Keys of Config.ExposedPorts. */
  readonly exposedPorts: readonly string[];
  /** All endpoints by container, where many containers are described at once. */
  readonly endpoints?: ReadonlyMap<string, Endpoint> | undefined;
}

const nowhere: EndpointSettings = {
  IPAMConfig: null,
  Links: null,
  Aliases: null,
  MacAddress: "",
  DriverOpts: null,
  NetworkID: "",
  EndpointID: "",
  Gateway: "",
  IPAddress: "",
  IPPrefixLen: 0,
  IPv6Gateway: "",
  GlobalIPv6Address: "",
  GlobalIPv6PrefixLen: 0,
  DNSNames: null,
};

/** NetworkSettings of `inspect`. */
export function describeNetworkSettings(state: State, facts: NetworkFacts): NetworkSettings {
  const { containerId, running, pid } = facts;
  const mode = parseNetworkMode(facts.networkMode);
  const endpoint = running ? endpointOf(state, facts) : undefined;
  const here = mode.kind === "container" ? nowhere : endpointSettings(state, facts, mode.kind, endpoint);
  // Older versions of the API had the default bridge's address at top level, too.
  const top = mode.kind === "bridge" ? here : nowhere;
  return {
    Bridge: "",
    SandboxID: running ? derivedId("sandbox", containerId) : "",
    SandboxKey: pid === undefined ? "" : `/proc/${pid}/ns/net`,
    Ports: endpoint === undefined ? {} : portMap(endpoint, facts.exposedPorts),
    Gateway: top.Gateway ?? "",
    IPAddress: top.IPAddress ?? "",
    IPPrefixLen: top.IPPrefixLen ?? 0,
    MacAddress: top.MacAddress ?? "",
    EndpointID: top.EndpointID ?? "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    IPv6Gateway: "",
    Networks: mode.kind === "container" ? {} : { [mode.kind]: here },
  };
}

function endpointOf(state: State, { containerId, endpoints }: NetworkFacts): Endpoint | undefined {
  return endpoints === undefined ? findEndpoint(state, containerId) : endpoints.get(containerId);
}

/** Networks of a row of `ps`. */
export function describeNetworks(state: State, facts: NetworkFacts): Record<string, EndpointSettings> {
  const mode = parseNetworkMode(facts.networkMode);
  if (mode.kind === "container") return {};
  const endpoint = facts.running ? endpointOf(state, facts) : undefined;
  return { [mode.kind]: endpointSettings(state, facts, mode.kind, endpoint) };
}

function endpointSettings(
  state: State,
  facts: NetworkFacts,
  name: "bridge" | "host" | "none",
  endpoint: Endpoint | undefined,
): EndpointSettings {
  if (endpoint !== undefined) {
    return {
      ...nowhere,
      MacAddress: endpoint.mac,
      NetworkID: endpoint.networkId,
      EndpointID: endpoint.endpointId,
      Gateway: endpoint.gateway,
      IPAddress: endpoint.address,
      IPPrefixLen: endpoint.prefixLength,
    };
  }
  const networkId = networkIdOf(state, name);
  // host and none have no endpoint that is kept; its id derives from both ends.
  const isThere = facts.running && name !== "bridge";
  return {
    ...nowhere,
    NetworkID: networkId,
    EndpointID: isThere ? derivedEndpointId(networkId, facts.containerId) : "",
  };
}

/** The endpoint id that a running container shows on host or none. */
export function derivedEndpointId(networkId: string, containerId: string): string {
  return derivedId("endpoint", networkId, containerId);
}

function portMap(endpoint: Endpoint, exposedPorts: readonly string[]): PortMap {
  const map: PortMap = {};
  for (const { port, protocol } of readExposedPorts(exposedPorts)) {
    map[`${port}/${protocol}`] = null;
  }
  for (const { containerPort, protocol, hostIp, hostPort } of endpoint.ports) {
    const key = `${containerPort}/${protocol}`;
    map[key] = [...(map[key] ?? []), { HostIp: hostIp, HostPort: String(hostPort) }];
  }
  return map;
}

/**
 * The ports of one row of `ps`: published ones and, without a host's side, exposed ones. None for a container that
 * does not run or has no network of its own.
 */
export function portSummaries(state: State, facts: NetworkFacts): PortSummary[] {
  const endpoint = facts.running ? endpointOf(state, facts) : undefined;
  if (endpoint === undefined) return [];
  return Object.entries(portMap(endpoint, facts.exposedPorts)).flatMap(([key, bindings]): PortSummary[] => {
    const { port, protocol } = parseContainerPort(key);
    if (bindings === null) return [{ PrivatePort: port, Type: protocol }];
    return bindings.map(({ HostIp = "", HostPort }) => ({
      IP: HostIp,
      PrivatePort: port,
      PublicPort: Number(HostPort),
      Type: protocol,
    }));
  });
}
