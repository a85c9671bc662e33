import { InvalidParameter, NotFound } from "../core/errors.ts";
import type { NetworkMode } from "./model.ts";

/**
 * Reads HostConfig.NetworkMode; empty and `default` are the bridge.
 * @throws NotFound for the name of a network that does not exist, InvalidParameter for `container:` alone.
 */
export function parseNetworkMode(text: string | undefined): NetworkMode {
  switch (text) {
    case undefined:
    case "":
    case "default":
    case "bridge":
      return { kind: "bridge" };
    case "host":
    case "none":
      return { kind: text };
  }
  if (text.startsWith("container:")) {
    const container = text.slice("container:".length);
    if (container === "") throw new InvalidParameter("invalid container format container:<name|id>");
    return { kind: "container", container };
  }
  throw new NotFound(`network ${text} not found`);
}

/** The text that `inspect` and `ps` show as HostConfig.NetworkMode. */
export function formatNetworkMode(mode: NetworkMode): string {
  return mode.kind === "container" ? `container:${mode.container}` : mode.kind;
}
