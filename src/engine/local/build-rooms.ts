import type { BuildRooms } from "../../build/rooms.ts";
import type { Local } from "./local.ts";

/** What of this instance a build works with. */
export function roomsOf(local: Local): BuildRooms {
  const { instance, state, content, snapshots, bootId, searchPath } = local;
  return {
    instance,
    state,
    content,
    snapshots,
    bootId,
    searchPath,
    cgroups: local.cgroups,
    host: local.host,
    runtime: () => local.runtime(),
  };
}
