/** The engine as a whole, over HTTP. Engine API reference, "System". */
import { NotImplemented } from "../../core/errors.ts";
import type * as api from "../../core/objects.ts";
import type { System } from "../../engine/engine.ts";
import { authHeader } from "./authentication.ts";
import { encodeFilters, timestamp } from "./containers.ts";
import { jsonLines } from "./lines.ts";
import { imageSegment, type Transport } from "./transport.ts";

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

    async login(auth) {
      const answer = await transport.json<Partial<api.AuthResponse>>("POST", "/auth", { json: auth });
      return { Status: answer.Status ?? "", IdentityToken: answer.IdentityToken ?? "" };
    },

    distribution: (reference, options = {}) =>
      transport.json("GET", `/distribution/${imageSegment(reference)}/json`, {
        headers: authHeader(options.auth),
      }),

    diskUsage: () => diskUsage(transport),

    async check() {
      throw new NotImplemented(
        "stored images can be checked where they are only; " +
          `ask davit on the host of ${transport.endpoint.host} itself, without -H`,
      );
    },
  };
}

/** Servers say `null` where there is nothing, and those before API 1.42 do not know every list. */
async function diskUsage(transport: Transport): Promise<api.DiskUsage> {
  const usage = await transport.json<{ [Key in keyof api.DiskUsage]?: api.DiskUsage[Key] | null }>(
    "GET",
    "/system/df",
  );
  return {
    LayersSize: usage.LayersSize ?? 0,
    Images: usage.Images ?? [],
    Containers: usage.Containers ?? [],
    Volumes: usage.Volumes ?? [],
    BuildCache: usage.BuildCache ?? [],
  };
}

/** @returns the newest API version that the server speaks. */
export async function ping(transport: Transport): Promise<string> {
  const response = await transport.request("GET", "/_ping", { unversioned: true });
  await response.body?.cancel();
  const version = response.headers.get("api-version") ?? "";
  return /^\d+\.\d+$/.test(version) ? version : versionOfSilentServers;
}
