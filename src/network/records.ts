/** The room's rows: networks and endpoints. */
import { SystemFailure } from "../core/errors.ts";
import { randomId } from "../core/ids.ts";
import type { State } from "../state/state.ts";
import type { Endpoint } from "./model.ts";

/** A network as it is kept. */
export interface NetworkRecord {
  readonly id: string;
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  readonly driver: "bridge" | "host" | "null";
  /** `172.17.0.0/16`; absent for host and none, and for the bridge until it is first used. */
  readonly subnet?: string;
  readonly gateway?: string;
}

const builtIn = [
  ["bridge", "bridge"],
  ["host", "host"],
  ["none", "null"],
] as const;

interface RecordRow {
  record: string;
}

function parseNetwork(row: RecordRow): NetworkRecord {
  const value: NetworkRecord = JSON.parse(row.record);
  return value;
}

function parseEndpoint(row: RecordRow): Endpoint {
  const value: Endpoint = JSON.parse(row.record);
  return value;
}

/** All networks. Bridge, host and none come into being with the first look at them. */
export function listNetworks(state: State): NetworkRecord[] {
  const read = () =>
    state.db.query<RecordRow, []>("SELECT record FROM networks ORDER BY name").all().map(parseNetwork);
  const known = read();
  if (known.length > 0) return known;
  state.transaction(() => {
    if (read().length > 0) return;
    const created = new Date().toISOString().replace("Z", "000000Z");
    for (const [name, driver] of builtIn) saveNetwork(state, { id: randomId(), name, created, driver });
  });
  return read();
}

/** A built-in network. */
export function builtInNetwork(state: State, name: "bridge" | "host" | "none"): NetworkRecord {
  const find = () =>
    state.db.query<RecordRow, [string]>("SELECT record FROM networks WHERE name = ?").get(name) ?? undefined;
  let row = find();
  if (row === undefined) {
    listNetworks(state);
    row = find();
  }
  if (row === undefined) throw new SystemFailure(`the record of network ${name} is missing`);
  return parseNetwork(row);
}

/** The id of a built-in network. */
export function networkIdOf(state: State, name: "bridge" | "host" | "none"): string {
  return builtInNetwork(state, name).id;
}

export function saveNetwork(state: State, network: NetworkRecord): void {
  state.db
    .query<null, [string, string, string]>(
      "INSERT OR REPLACE INTO networks (id, name, record) VALUES (?, ?, ?)",
    )
    .run(network.id, network.name, JSON.stringify(network));
}

/** The endpoint of a container that is reserved or running; undefined otherwise. */
export function findEndpoint(state: State, containerId: string): Endpoint | undefined {
  const row = state.db
    .query<RecordRow, [string]>("SELECT record FROM endpoints WHERE container_id = ?")
    .get(containerId);
  return row === null ? undefined : parseEndpoint(row);
}

export function listEndpoints(state: State): Endpoint[] {
  return state.db.query<RecordRow, []>("SELECT record FROM endpoints").all().map(parseEndpoint);
}

/** @throws SQLite's constraint failure when the address is taken. */
export function saveEndpoint(state: State, endpoint: Endpoint): void {
  state.db
    .query<null, [string, string, string, string]>(
      "INSERT INTO endpoints (network_id, container_id, address, record) VALUES (?, ?, ?, ?)",
    )
    .run(endpoint.networkId, endpoint.containerId, endpoint.address, JSON.stringify(endpoint));
  for (const port of endpoint.ports) {
    state.db
      .query<null, [string, string, number, string]>(
        "INSERT INTO ports (protocol, host_ip, host_port, container_id) VALUES (?, ?, ?, ?)",
      )
      .run(port.protocol, port.hostIp, port.hostPort, endpoint.containerId);
  }
}

export function deleteEndpoint(state: State, containerId: string): void {
  state.db.query<null, [string]>("DELETE FROM endpoints WHERE container_id = ?").run(containerId);
  state.db.query<null, [string]>("DELETE FROM ports WHERE container_id = ?").run(containerId);
}

/** 64 hex digits that always come out the same for the same parts: ids of what is not kept. */
export function derivedId(...parts: string[]): string {
  return new Bun.CryptoHasher("sha256").update(parts.join("\0")).digest("hex");
}
