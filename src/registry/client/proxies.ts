/** Which proxy a request takes: HTTP_PROXY, HTTPS_PROXY and NO_PROXY by the rules of Go's `httpproxy` package. */
import { InvalidParameter } from "../../core/errors.ts";
import { addressFamily, isInRange, isLoopback } from "./addresses.ts";

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
  if (addressFamily(entry) !== 0) return entry === host;
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const bare = name.replace(/^\[|\]$/g, "").replace(/^\*(?=\.)/, "");
  if (addressFamily(bare) !== 0) return bare === host;
  // `.example.com` means what is below it; `example.com` that and itself.
  return bare.startsWith(".") ? host.endsWith(bare) : host === bare || host.endsWith(`.${bare}`);
}

/** The host of a URL in lower case, an IPv6 address without its brackets. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
}
