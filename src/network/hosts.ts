import { hasErrno, InvalidParameter } from "../core/errors.ts";
import { readFileSync } from "../linux/files.ts";

export interface HostsRequest {
  readonly hostname: string;
  readonly domainname?: string | undefined;
  /** The container's address; absent without a network of its own. */
  readonly address?: string | undefined;
  /** HostConfig.ExtraHosts: `name:address` or `name:host-gateway`. */
  readonly extraHosts?: readonly string[] | null | undefined;
  /** What `host-gateway` stands for: the bridge's own address. */
  readonly gateway?: string | undefined;
  readonly mode: "bridge" | "host" | "none";
}

const localLines = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/**
 * The text of a container's /etc/hosts, in Docker's layout; with the host's network the host's own lines and what
 * is added to them. @throws InvalidParameter for a malformed extra host.
 */
export function hostsFile(request: HostsRequest): string {
  return formatHosts(request, request.mode === "host" ? readHostHosts() : undefined);
}

function readHostHosts(): string {
  try {
    return readFileSync("/etc/hosts", "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return "";
    throw error;
  }
}

/** @param hostFile the text that takes the place of Docker's first lines. Pure. */
export function formatHosts(request: HostsRequest, hostFile: string | undefined): string {
  const base =
    hostFile === undefined ? localLines.map((line) => `${line}\n`).join("") : withNewline(hostFile);
  const extra = (request.extraHosts ?? []).map((host) => extraLine(host, request.gateway)).join("");
  return base + extra + ownLine(request);
}

function withNewline(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}

function ownLine({ address, hostname, domainname }: HostsRequest): string {
  if (address === undefined) return "";
  const names =
    domainname === undefined || domainname === "" ? hostname : `${hostname}.${domainname} ${hostname}`;
  return `${address}\t${names}\n`;
}

function extraLine(entry: string, gateway: string | undefined): string {
  const colon = entry.indexOf(":");
  const [name, value] = [entry.slice(0, colon), entry.slice(colon + 1)];
  if (colon <= 0 || value === "")
    throw new InvalidParameter(`bad format for add-host: ${JSON.stringify(entry)}`);
  if (value !== "host-gateway") return `${value.replace(/^\[(.*)\]$/, "$1")}\t${name}\n`;
  if (gateway === undefined) {
    throw new InvalidParameter("unable to derive the IP value for host-gateway");
  }
  return `${gateway}\t${name}\n`;
}
