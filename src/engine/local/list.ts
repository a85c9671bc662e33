/** Lists containers: rows as `GET /containers/json` has them. Filters and sizes are loaded when they are asked for. */
import type { ContainerSummary } from "../../core/objects.ts";
import { describeNetworks, portSummaries } from "../../network/describe.ts";
import type { Endpoint } from "../../network/model.ts";
import { listEndpoints } from "../../network/records.ts";
import { allContainers, type ContainerRecord } from "../../state/containers.ts";
import type { ListContainersOptions } from "../engine.ts";
import type { Local } from "./local.ts";
import { isHidden } from "./lookup.ts";
import { liveState, statusLine, statusOf } from "./status.ts";

/** The newest first. @throws InvalidParameter for a filter that there is not */
export async function list(local: Local, options: ListContainersOptions = {}): Promise<ContainerSummary[]> {
  const filters = options.filters ?? {};
  const matches =
    Object.keys(filters).length === 0
      ? () => true
      : (await import("./list-filters.ts")).compileFilters(local, filters);
  const limit = options.limit ?? 0;
  // A status or a limit looks at all; otherwise only those that run are wanted.
  const all =
    options.all === true || limit > 0 || filters.status !== undefined || filters.exited !== undefined;
  const rows: ContainerSummary[] = [];
  const endpoints = new Map(listEndpoints(local.state).map((endpoint) => [endpoint.containerId, endpoint]));
  for (const record of allContainers(local.state)) {
    if (isHidden(record)) continue;
    if (!all && liveState(record) === undefined && record.state.status !== "restarting") continue;
    if (!matches(record)) continue;
    rows.push(await summarize(local, record, endpoints, options.size === true));
    if (limit > 0 && rows.length === limit) break;
  }
  return rows;
}

/** Endpoints by their container's id. */
type Endpoints = ReadonlyMap<string, Endpoint>;

async function summarize(
  local: Local,
  record: ContainerRecord,
  endpoints: Endpoints,
  size: boolean,
): Promise<ContainerSummary> {
  const running = liveState(record) !== undefined;
  const mode = record.hostConfig.NetworkMode ?? "bridge";
  const network = {
    containerId: record.id,
    networkMode: mode,
    running,
    exposedPorts: Object.keys(record.config.ExposedPorts ?? {}),
    endpoints,
  };
  return {
    Id: record.id,
    Names: [`/${record.name}`],
    Image: record.imageName,
    ImageID: record.imageId,
    Command: [record.path, ...record.args.map(quoted)].join(" "),
    Created: Math.floor(Date.parse(record.created) / 1000),
    Ports: running ? portSummaries(local.state, network) : [],
    Labels: record.config.Labels ?? {},
    State: statusOf(record),
    Status: statusLine(record),
    HostConfig: { NetworkMode: mode },
    NetworkSettings: { Networks: describeNetworks(local.state, network) },
    Mounts: record.mounts,
    ...(size ? await (await import("./sizes.ts")).sizes(local, record) : {}),
  };
}

/** Docker's way: not a shell's, and only for blanks. */
function quoted(argument: string): string {
  return argument.includes(" ") ? `'${argument}'` : argument;
}
