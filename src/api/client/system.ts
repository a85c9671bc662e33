/** The engine as a whole, over HTTP. Engine API reference, "System". */
import type * as api from "../../core/objects.ts";
import type { System } from "../../engine/engine.ts";
import { encodeFilters, timestamp } from "./containers.ts";
import { jsonLines } from "./lines.ts";
import type { Transport } from "./transport.ts";

/** What a server speaks that does not say its version. */
const versionOfSilentServers = "1.24";

export function remoteSystem(transport: Transport): System {
  return {
    ping: () => ping(transport),
    version: () => transport.json("GET", "/version"),
    info: () => transport.json("GET", "/info"),

    events: (options = {}) =>
      jsonLines<api.EventMessage>(
        transport.stream("GET", "/events", {
          query: {
            since: options.since === undefined ? undefined : timestamp(options.since),
            until: options.until === undefined ? undefined : timestamp(options.until),
            filters: encodeFilters(options.filters),
          },
          signal: options.signal,
        }),
      ),
  };
}

/** @returns the newest API version that the server speaks. */
export async function ping(transport: Transport): Promise<string> {
  const response = await transport.request("GET", "/_ping", { unversioned: true });
  await response.body?.cancel();
  const version = response.headers.get("api-version") ?? "";
  return /^\d+\.\d+$/.test(version) ? version : versionOfSilentServers;
}
