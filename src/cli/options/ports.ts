/** `--publish` and `--expose`: `[[ip:]host:]container[/protocol]`, single ports and ranges. */
import type { PortMap } from "../../core/objects.ts";
import { quote } from "../../core/strconv.ts";
import { BadValue, inWords, parseUnsigned } from "../flags/values.ts";
import { isIpAddress } from "./addresses.ts";
import { splitPair } from "./key-values.ts";

export interface PublishedPorts {
  exposed: Record<string, Record<string, never>>;
  bindings: PortMap;
}

interface PortRange {
  first: number;
  last: number;
}

/** @throws BadValue in Docker's words */
export function publishedPorts(published: readonly string[], exposed: readonly string[]): PublishedPorts {
  const ports: PublishedPorts = { exposed: {}, bindings: {} };
  for (const text of published) publish(ports, standardNotation(text));
  for (const text of exposed) expose(ports, text);
  return ports;
}

/** The long notation, `target=80,published=8080,protocol=tcp`, made short. */
function standardNotation(text: string): string {
  if (!text.includes("=")) return text;
  const fields = new Map([["protocol", "tcp"]]);
  for (const field of text.split(",")) {
    if (!field.includes("=")) {
      throw new BadValue(`invalid publish opts format (should be name=value but got '${field}')`);
    }
    const [name, value] = splitPair(field);
    fields.set(name, value);
  }
  return `${fields.get("published") ?? ""}:${fields.get("target") ?? ""}/${fields.get("protocol")}`;
}

function publish(ports: PublishedPorts, text: string): void {
  const parts = text.split(":");
  const container = parts.pop() ?? "";
  const host = parts.pop() ?? "";
  const address = withoutBrackets(parts.join(":"));
  const { protocol, port } = splitProtocol(container);
  if (address !== "" && !isIpAddress(address.split("%")[0] ?? ""))
    throw new BadValue(`invalid IP address: ${address}`);
  if (port === "") throw new BadValue(`no port specified: ${text}<empty>`);
  const inside = inWords(`invalid containerPort: ${port}`, () => parseRange(port));
  const outside = host === "" ? undefined : inWords(`invalid hostPort: ${host}`, () => parseRange(host));
  const single = inside.first === inside.last;
  if (outside !== undefined && !single && outside.last - outside.first !== inside.last - inside.first) {
    throw new BadValue(`invalid ranges specified for container and host Ports: ${port} and ${host}`);
  }
  checkProtocol(protocol);
  for (let number = inside.first; number <= inside.last; number += 1) {
    const key = `${number}/${protocol}`;
    ports.exposed[key] = {};
    const binding = { HostIp: address, HostPort: hostPort(outside, number - inside.first, single) };
    ports.bindings[key] = [...(ports.bindings[key] ?? []), binding];
  }
}

/** A range on the host for one port inside is the range to choose from. */
function hostPort(outside: PortRange | undefined, offset: number, single: boolean): string {
  if (outside === undefined) return "";
  if (single && outside.first !== outside.last) return `${outside.first}-${outside.last}`;
  return String(outside.first + offset);
}

function expose(ports: PublishedPorts, text: string): void {
  if (text.includes(":")) throw new BadValue(`invalid port format for --expose: ${text}`);
  const { protocol, port } = splitProtocol(text);
  let range: PortRange;
  try {
    range = parseRange(port);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new BadValue(`invalid range format for --expose: ${text}, error: ${error.message}`);
  }
  checkProtocol(protocol);
  for (let number = range.first; number <= range.last; number += 1) {
    const key = `${number}/${protocol}`;
    ports.exposed[key] ??= {};
  }
}

function splitProtocol(text: string): { protocol: string; port: string } {
  const [port = "", protocol = ""] = text.split("/");
  if (port === "") return { protocol: "", port: "" };
  return { protocol: protocol === "" ? "tcp" : protocol.toLowerCase(), port };
}

function checkProtocol(protocol: string): void {
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw new BadValue(`invalid proto: ${protocol}`);
}

/** @throws BadValue */
function parseRange(text: string): PortRange {
  if (text === "") throw new BadValue("empty string specified for ports");
  const dash = text.indexOf("-");
  const first = portNumber(dash < 0 ? text : text.slice(0, dash));
  const last = dash < 0 ? first : portNumber(text.slice(dash + 1));
  if (last < first) throw new BadValue(`invalid range specified for port: ${text}`);
  return { first, last };
}

function portNumber(text: string): number {
  if (/^0[0-9]/.test(text)) return parseUnsigned(text.replace(/^0+(?=\d)/, ""), 16);
  if (!/^\d+$/.test(text)) throw new BadValue(`strconv.ParseUint: parsing ${quote(text)}: invalid syntax`);
  return parseUnsigned(text, 16);
}

function withoutBrackets(address: string): string {
  return /^\[(.*)\]$/.exec(address)?.[1] ?? address;
}
