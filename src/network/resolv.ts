import { hasErrno } from "../core/errors.ts";
import { readFileSync } from "../linux/files.ts";

export interface ResolvConfRequest {
  /** HostConfig.Dns, DnsSearch, DnsOptions: each one that is given takes the place of the host's. */
  readonly servers?: readonly string[] | null | undefined;
  readonly search?: readonly string[] | null | undefined;
  readonly options?: readonly string[] | null | undefined;
  /** With the host's network the host's loopback resolvers work, and are kept. */
  readonly mode: "bridge" | "host" | "none";
}

/** Used, as by Docker, when the host names no server that a container could reach. */
const publicServers = ["8.8.8.8", "8.8.4.4"];

const hostPath = "/etc/resolv.conf";
/** systemd-resolved: behind its stub at 127.0.0.53 this file names the true servers. */
const resolvedPath = "/run/systemd/resolve/resolv.conf";
const stub = "127.0.0.53";

/** The host's resolver file; that of systemd-resolved where /etc/resolv.conf is only its stub. Empty when there is none. */
function readHostResolvConf(): string {
  const text = readIfThere(hostPath) ?? "";
  const servers = valuesOf(text, "nameserver");
  return servers.length === 1 && servers[0] === stub ? (readIfThere(resolvedPath) ?? text) : text;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/**
 * The text of a container's /etc/resolv.conf, in Docker's layout: the host's own lines without servers that a
 * container cannot reach (loopback; IPv6, which the bridge does not have), or, with anything overridden, one line
 * each for search, every server, and options.
 */
export function resolvConf(request: ResolvConfRequest): string {
  return formatResolvConf(request, readHostResolvConf());
}

/** `resolvConf` for a host whose file has this text. Pure. */
export function formatResolvConf(request: ResolvConfRequest, hostFile: string): string {
  const { servers, search, options } = request;
  const keep = request.mode === "host";
  if (!isGiven(servers) && !isGiven(search) && !isGiven(options)) {
    if (keep) return hostFile;
    const text = withoutUnreachable(hostFile);
    return valuesOf(text, "nameserver").length > 0
      ? text
      : `${text}\n${publicServers.map((server) => `nameserver ${server}`).join("\n")}`;
  }
  const hostServers = valuesOf(keep ? hostFile : withoutUnreachable(hostFile), "nameserver");
  const chosen = isGiven(servers) ? servers : hostServers.length > 0 ? hostServers : publicServers;
  return [
    searchLine(isGiven(search) ? search : wordsOf(hostFile, "search")),
    ...chosen.map((server) => `nameserver ${server}\n`),
    optionsLine(isGiven(options) ? options : wordsOf(hostFile, "options")),
  ].join("");
}

function isGiven(list: readonly string[] | null | undefined): list is readonly string[] {
  return list !== null && list !== undefined && list.length > 0;
}

/** `--dns-search .` means none. */
function searchLine(domains: readonly string[]): string {
  const text = domains.join(" ").trim();
  return text === "" || text === "." ? "" : `search ${text}\n`;
}

function optionsLine(options: readonly string[]): string {
  const text = options.join(" ").trim();
  return text === "" ? "" : `options ${text}\n`;
}

/** What follows `keyword` on its lines; resolv.conf(5). */
function valuesOf(text: string, keyword: string): string[] {
  return text
    .split("\n")
    .map((line) =>
      line
        .replace(/[#;].*$/, "")
        .trim()
        .split(/\s+/),
    )
    .filter(([first, value]) => first === keyword && value !== undefined)
    .map((words) => words.slice(1).join(" "));
}

/** Of several lines the last counts. */
function wordsOf(text: string, keyword: string): string[] {
  return valuesOf(text, keyword).at(-1)?.split(" ") ?? [];
}

function withoutUnreachable(text: string): string {
  return text
    .split("\n")
    .filter((line) => !/^\s*nameserver\s+(?:127\.[0-9.]+|\S*:\S*)\s*$/.test(line))
    .join("\n");
}
