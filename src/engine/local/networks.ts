/** The networks of this instance, as the Engine API shows them. */
import { InvalidParameter, NotFound } from "../../core/errors.ts";
import { anyValue, unknownFilter } from "../../core/filters.ts";
import type { Network } from "../../core/objects.ts";
import {
  derivedEndpointId,
  type Endpoint,
  listEndpoints,
  listNetworks,
  type NetworkRecord,
} from "../../network/index.ts";
import { activeContainers, type ContainerRecord } from "../../state/containers.ts";
import type { Networks } from "../engine.ts";
import type { Local } from "./local.ts";
import { liveState } from "./status.ts";

export function localNetworks(local: Local): Networks {
  return {
    list: async (filters = {}) => {
      const matches = anyValue(filters, filterTest);
      // Docker's list leaves the containers out; inspect names them.
      return listNetworks(local.state)
        .filter(matches)
        .map((network) => describe(local, network, {}));
    },
    inspect: async (id) => {
      const network = find(listNetworks(local.state), id);
      return describe(local, network, members(local, network));
    },
  };
}

/** By full id, by name, by the beginning of an id. @throws NotFound; InvalidParameter when a prefix fits several. */
function find(networks: readonly NetworkRecord[], id: string): NetworkRecord {
  const exact =
    networks.find((network) => network.id === id) ?? networks.find((network) => network.name === id);
  if (exact !== undefined) return exact;
  const [first, second] = id === "" ? [] : networks.filter((network) => network.id.startsWith(id));
  if (second !== undefined)
    throw new InvalidParameter(`network ${id} is ambiguous (2 matches found on ID prefix)`);
  if (first === undefined) throw new NotFound(`network ${id} not found`);
  return first;
}

function filterTest(name: string): (network: NetworkRecord, value: string) => boolean {
  switch (name) {
    case "name":
      return (network, value) => network.name.includes(value);
    case "id":
      return (network, value) => network.id.startsWith(value);
    case "driver":
      return (network, value) => network.driver === value;
    case "scope":
      return (_, value) => value === "local";
    case "type":
      return (_, value) => {
        if (value !== "builtin" && value !== "custom")
          throw new InvalidParameter(`invalid filter: 'type'='${value}'`);
        return value === "builtin";
      };
    case "label":
      return () => false;
    case "dangling":
      return (_, value) => value === "false" || value === "0";
    default:
      throw unknownFilter(name);
  }
}

function describe(local: Local, network: NetworkRecord, containers: Network["Containers"]): Network {
  const { subnet, gateway } = network;
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: "local",
    Driver: network.driver,
    EnableIPv6: false,
    IPAM: {
      Driver: "default",
      Options: null,
      Config: subnet === undefined || gateway === undefined ? [] : [{ Subnet: subnet, Gateway: gateway }],
    },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: containers,
    Options: network.driver === "bridge" ? bridgeOptions(local.instance.bridge) : {},
    Labels: {},
  };
}

/** How the default bridge behaves, under the names that Docker gives its options. */
function bridgeOptions(name: string): Record<string, string> {
  return {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": "true",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
    "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
    "com.docker.network.bridge.name": name,
    "com.docker.network.driver.mtu": "1500",
  };
}

/** The running containers on a network. */
function members(local: Local, network: NetworkRecord): Network["Containers"] {
  const endpoints = new Map(listEndpoints(local.state).map((endpoint) => [endpoint.containerId, endpoint]));
  return Object.fromEntries(
    activeContainers(local.state)
      .filter(
        (record) =>
          (record.hostConfig.NetworkMode ?? "bridge") === network.name && liveState(record) !== undefined,
      )
      .map((record) => [record.id, member(record, network, endpoints.get(record.id))]),
  );
}

function member(
  record: ContainerRecord,
  network: NetworkRecord,
  endpoint: Endpoint | undefined,
): Network["Containers"][string] {
  return {
    Name: record.name,
    EndpointID: endpoint?.endpointId ?? derivedEndpointId(network.id, record.id),
    MacAddress: endpoint?.mac ?? "",
    IPv4Address: endpoint === undefined ? "" : `${endpoint.address}/${endpoint.prefixLength}`,
    IPv6Address: "",
  };
}
