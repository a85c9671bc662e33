/** Which proxy a request takes: HTTP_PROXY, HTTPS_PROXY and NO_PROXY by the rules of Go's `httpproxy` package. */
import { BlockList, isIP } from "node:net";
import { InvalidParameter } from "../../core/errors.ts";

export interface ProxySettings {
  http?: string;
  https?: string;
  no?: string;
}

/** The proxy's address for `url`, or undefined to go there directly. @throws InvalidParameter for a bad address. */
export function proxyFor(url: URL, settings: ProxySettings): string | undefined {
  const proxy = url.protocol === "https:" ? settings.https : settings.http;
  if (proxy === undefined || proxy === "" || isExcepted(url, settings.no ?? "")) return undefined;
  return proxyAddress(proxy);
}

function proxyAddress(text: string): string {
  const withScheme = /^[a-z0-9]+:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.parse(withScheme);
  // The address may hold a password, so it is not repeated.
  if (url === null) throw new InvalidParameter("invalid proxy address in HTTP_PROXY or HTTPS_PROXY");
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new InvalidParameter(
      `unsupported proxy scheme ${url.protocol.slice(0, -1)} in HTTP_PROXY or HTTPS_PROXY`,
    );
  }
  return url.href;
}

/** Loopback addresses never go through a proxy; then what NO_PROXY lists. */
function isExcepted(url: URL, no: string): boolean {
  const host = bareHost(url);
  if (isLoopback(host)) return true;
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return no
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== "" && matches(entry, host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return isInRange(host, entry);
  const [, name = entry, wantedPort] = /^(\[[^\]]+\]|[^:]+|[0-9a-f:]+):?(\d+)?$/.exec(entry) ?? [];
  if (isIP(entry) !== 0) return entry === host;
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const bare = name.replace(/^\[|\]$/g, "").replace(/^\*(?=\.)/, "");
  if (isIP(bare) !== 0) return bare === host;
  // `.example.com` means what is below it; `example.com` that and itself.
  return bare.startsWith(".") ? host.endsWith(bare) : host === bare || host.endsWith(`.${bare}`);
}

/** The host of a URL in lower case, an IPv6 address without its brackets. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
}

/** `localhost`, 127.0.0.0/8 and ::1. */
export function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

/** True when `address` is an IP address inside a CIDR range; false also where either is no such thing. */
export function isInRange(address: string, range: string): boolean {
  const family = isIP(address);
  const [network = "", length = ""] = range.split("/");
  const networkFamily = isIP(network);
  const bits = Number(length);
  if (family === 0 || networkFamily === 0 || !/^\d{1,3}$/.test(length)) return false;
  if (bits > (networkFamily === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, bits, networkFamily === 4 ? "ipv4" : "ipv6");
  return list.check(address, family === 4 ? "ipv4" : "ipv6");
}
