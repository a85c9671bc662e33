/** Volumes over HTTP. Engine API reference, "Volume". */
import type * as api from "../../core/objects.ts";
import type { Filters, Volumes } from "../../engine/engine.ts";
import { encodeFilters } from "./containers.ts";
import { segment, type Transport } from "./transport.ts";

export function remoteVolumes(transport: Transport): Volumes {
  return {
    async list(filters) {
      const answer = await transport.json<{ Volumes: api.Volume[] | null; Warnings: string[] | null }>(
        "GET",
        "/volumes",
        { query: { filters: encodeFilters(filters) } },
      );
      return { Volumes: answer.Volumes ?? [], Warnings: answer.Warnings };
    },

    create: (request) => transport.json("POST", "/volumes/create", { json: request }),
    inspect: (name) => transport.json("GET", `/volumes/${segment(name, "volume")}`),

    remove: (name, options = {}) =>
      transport.send("DELETE", `/volumes/${segment(name, "volume")}`, { query: { force: options.force } }),

    async prune(filters) {
      const answer = await transport.json<{ VolumesDeleted: string[] | null; SpaceReclaimed: number }>(
        "POST",
        "/volumes/prune",
        { query: { filters: encodeFilters(pruneFilters(transport, filters)) } },
      );
      return { VolumesDeleted: answer.VolumesDeleted ?? [], SpaceReclaimed: answer.SpaceReclaimed };
    },
  };
}

/** Servers before API 1.42 always prune named volumes too and do not know the filter `all` that asks for it. */
function pruneFilters(transport: Transport, filters: Filters | undefined): Filters | undefined {
  if (filters === undefined || transport.atLeast("1.42")) return filters;
  const { all: _, ...rest } = filters;
  return rest;
}
