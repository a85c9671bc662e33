/** `--listen`: `host:port`, `:port`, `[ipv6]:port` or a port. */
import { quote } from "../../core/strconv.ts";
import { BadValue } from "../flags/values.ts";

export interface ListenAddress {
  hostname: string;
  port: number;
}

/** @throws BadValue */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]*)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) throw new BadValue(`${quote(text)} is not HOST:PORT`);
  return { hostname: match[1] || match[2] || "0.0.0.0", port };
}
