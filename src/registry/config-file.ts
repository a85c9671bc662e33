/** The registry keys of daemon.json: `registry-mirrors` and `insecure-registries`, with Docker's checks and words. */
import { InvalidParameter } from "../core/errors.ts";
import { addressFamily } from "./client/addresses.ts";
import type { RegistryConfig } from "./client/index.ts";
import { parseJsonFile } from "./json-file.ts";

export interface RegistryConfigSources {
  /** Configuration files in order; one that does not exist is none. A later file's key replaces an earlier one's. */
  files: readonly string[];
  /** Directories with certificates by host; absent: `/etc/davit/certs.d`, `/etc/docker/certs.d`. */
  certificateDirectories?: readonly string[];
  /** HTTP_PROXY, HTTPS_PROXY, NO_PROXY (either case), SSL_CERT_FILE. */
  environment: Readonly<Record<string, string | undefined>>;
}

/**
 * The files to read: DAVIT_CONFIG_FILE, else the machine's own. Docker's is read for those who come from there; what
 * davit's own says counts more.
 */
export function configFilesOf(environment: Readonly<Record<string, string | undefined>>): string[] {
  const given = environment.DAVIT_CONFIG_FILE;
  return given ? [given] : ["/etc/docker/daemon.json", "/etc/davit/daemon.json"];
}

const usualCertificates = ["/etc/davit/certs.d", "/etc/docker/certs.d"];

/**
 * Other keys of the files are left to those whose they are.
 * @throws InvalidParameter naming the file, and the position or the key that is wrong.
 */
export function readRegistryConfig(sources: RegistryConfigSources): RegistryConfig {
  let mirrors: readonly string[] = [];
  let insecure: readonly string[] = [];
  for (const file of sources.files) {
    const json = parseJsonFile(file);
    if (json === undefined) continue;
    const list = (key: string, check: (text: string) => string) =>
      json.at(key).optional((value) => value.strings().map((text) => inFile(file, key, () => check(text))));
    mirrors = list("registry-mirrors", checkMirror) ?? mirrors;
    insecure = list("insecure-registries", checkInsecure) ?? insecure;
  }
  const { environment } = sources;
  // In either case; the upper one counts, as in Go.
  const variable = (name: string) => environment[name] || environment[name.toLowerCase()] || undefined;
  const [http, https, no] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].map(variable);
  const certificateFile = environment.SSL_CERT_FILE || undefined;
  return {
    mirrors: [...new Set(mirrors)],
    insecure: [...new Set(insecure)],
    certificateDirectories: sources.certificateDirectories ?? usualCertificates,
    proxies: {
      ...(http === undefined ? {} : { http }),
      ...(https === undefined ? {} : { https }),
      ...(no === undefined ? {} : { no }),
    },
    ...(certificateFile === undefined ? {} : { certificateFile }),
  };
}

/**
 * A mirror's base address, ending with a slash.
 * @throws InvalidParameter in Docker's words.
 */
export function checkMirror(text: string): string {
  const address = text.trim();
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(address)?.[1]?.toLowerCase() ?? "";
  const url = URL.parse(scheme === "" ? `https://${address}` : address);
  if (url === null) throw new InvalidParameter(`invalid mirror: "${address}" is not a valid URI`);
  if (url.username !== "" || url.password !== "") {
    const shown = `${scheme}://${url.username}:xxxxx@${url.host}`;
    throw new InvalidParameter(`invalid mirror: username/password not allowed in URI "${shown}"`);
  }
  if (scheme !== "http" && scheme !== "https") {
    throw new InvalidParameter(`invalid mirror: unsupported scheme "${scheme}" in "${address}"`);
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw new InvalidParameter(`invalid mirror: path, query, or fragment at end of the URI "${address}"`);
  }
  return url.href;
}

/**
 * `host[:port]`, an IP address or a CIDR range. A scheme in front is taken off, as Docker does with a warning.
 * @throws InvalidParameter in Docker's words.
 */
export function checkInsecure(text: string): string {
  const entry = text.trim().replace(/^https?:\/\//i, "");
  if (entry.includes("/")) return checkRange(entry);
  if (entry.startsWith("-") || entry.endsWith("-")) {
    throw new InvalidParameter(`invalid index name (${entry}). Cannot begin or end with a hyphen`);
  }
  const [, host, port] = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+)(?::([^:]*))?$/.exec(entry) ?? [];
  const bare = host?.replace(/^\[|\]$/g, "") ?? "";
  const isHost = addressFamily(bare) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(bare);
  if (addressFamily(entry) === 0 && !isHost) {
    throw new InvalidParameter(`insecure registry ${entry} is not valid: invalid host "${bare || entry}"`);
  }
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) <= 65535)) {
    throw new InvalidParameter(`insecure registry ${entry} is not valid: invalid port "${port}"`);
  }
  return entry.toLowerCase();
}

function checkRange(entry: string): string {
  const [address = "", length = "", ...more] = entry.split("/");
  const family = addressFamily(address);
  const isRange = family !== 0 && /^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128);
  if (!isRange || more.length > 0) {
    throw new InvalidParameter(`insecure registry ${entry} is not valid: invalid host "${entry}"`);
  }
  return entry;
}

function inFile<Result>(file: string, key: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof InvalidParameter)) throw error;
    throw new InvalidParameter(`${file}: ${key}: ${error.message}`, { cause: error });
  }
}
