/** The volumes room as the container verbs use it. */
import type { VolumeStore } from "../../volumes/store.ts";
import type { Local } from "./local.ts";

export function volumeStore(local: Local): VolumeStore {
  return {
    state: local.state,
    emit: ({ action, name, attributes }) =>
      local.emit({ Type: "volume", Action: action, Actor: { ID: name, Attributes: attributes } }),
  };
}
