/** Networks over HTTP. Engine API reference, "Network". */
import type { Networks } from "../../engine/engine.ts";
import { encodeFilters } from "./containers.ts";
import { segment, type Transport } from "./transport.ts";

export function remoteNetworks(transport: Transport): Networks {
  return {
    list: (filters) => transport.json("GET", "/networks", { query: { filters: encodeFilters(filters) } }),
    inspect: (id) => transport.json("GET", `/networks/${segment(id, "network")}`),
  };
}
