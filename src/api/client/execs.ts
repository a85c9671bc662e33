/** Processes started in running containers, over HTTP. Engine API reference, "Exec". */
import type { Execs } from "../../engine/engine.ts";
import { attachedStreams } from "./containers.ts";
import { containerSegment, segment, type Transport } from "./transport.ts";

export function remoteExecs(transport: Transport): Execs {
  const path = (id: string, verb: string): string => `/exec/${segment(id, "exec")}/${verb}`;

  return {
    create: (containerId, config) =>
      transport.json("POST", `/containers/${containerSegment(containerId)}/exec`, { json: config }),

    async start(execId, options) {
      const tty = options.tty ?? false;
      const raw = await transport.hijack(path(execId, "start"), { json: { Detach: false, Tty: tty } });
      return attachedStreams(raw, !tty);
    },

    startDetached: (execId) =>
      transport.send("POST", path(execId, "start"), { json: { Detach: true, Tty: false } }),

    resize: (execId, size) =>
      transport.send("POST", path(execId, "resize"), { query: { h: size.height, w: size.width } }),

    inspect: (execId) => transport.json("GET", path(execId, "json")),
  };
}
