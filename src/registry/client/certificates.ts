/**
 * Whom we trust and who we say we are, by registry: `<directory>/<host[:port]>/` holds `*.crt` (authorities) and pairs
 * `x.cert`, `x.key` (client certificates), as Docker's certs.d. dockerd(8), "Using certificates for repository client
 * verification".
 */

import { hasErrno, InvalidParameter } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import { readdirSync, readFileSync } from "../../linux/files.ts";

export interface TrustOptions {
  certificateDirectories: readonly string[];
  /** In their place, whatever the host. */
  certificates?: string;
  /** SSL_CERT_FILE. */
  certificateFile?: string;
}

/** What `fetch` takes as `tls`. */
export interface TlsOptions {
  ca?: string[];
  cert?: string;
  key?: string;
  rejectUnauthorized?: boolean;
}

/** Where distributions keep the authorities that the machine trusts, in the order in which Go looks. */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** Reads each host's directory once. */
export class Trust {
  readonly #options: TrustOptions;
  readonly #byHost = new Map<string, TlsOptions>();
  #roots: string | undefined;

  constructor(options: TrustOptions) {
    this.#options = options;
  }

  /**
   * For a connection to `host[:port]`; `verify` is false for insecure registries.
   * @throws InvalidParameter in Docker's words when a certificate has no key or a key no certificate.
   */
  for(host: string, verify: boolean): TlsOptions {
    const key = `${verify} ${host}`;
    const known = this.#byHost.get(key);
    if (known !== undefined) return known;
    const own = this.#directoriesOf(host).map(readHost);
    const options: TlsOptions = { rejectUnauthorized: verify };
    // Where any certificate will do, there is nothing to compare it with.
    if (verify) {
      const authorities = own.flatMap((certificates) => certificates.authorities);
      const trusted = [this.#systemRoots(), ...authorities].filter((pem) => pem !== "");
      if (trusted.length > 0) options.ca = trusted;
    }
    const pair = own.flatMap(({ pairs }) => pairs)[0];
    this.#byHost.set(key, Object.assign(options, pair));
    return options;
  }

  #directoriesOf(host: string): string[] {
    const { certificateDirectories, certificates } = this.#options;
    if (certificates !== undefined) return [certificates];
    return certificateDirectories.flatMap((directory) =>
      directoryNames(host).map((name) => join(directory, name)),
    );
  }

  /** The machine's bundle; empty where it has none: then Bun's own list counts. */
  #systemRoots(): string {
    if (this.#roots !== undefined) return this.#roots;
    const { certificateFile } = this.#options;
    const files = certificateFile === undefined ? systemBundles : [certificateFile];
    let roots = "";
    for (const file of files) {
      roots = tryRead(file) ?? "";
      if (roots !== "") break;
    }
    this.#roots = roots;
    return roots;
  }
}

interface HostCertificates {
  authorities: string[];
  pairs: { cert: string; key: string }[];
}

function readHost(directory: string): HostCertificates {
  const found: HostCertificates = { authorities: [], pairs: [] };
  const names = namesIn(directory);
  for (const name of names) {
    if (name.endsWith(".crt")) found.authorities.push(readFileSync(join(directory, name), "utf8"));
    if (name.endsWith(".cert")) {
      const keyName = `${name.slice(0, -".cert".length)}.key`;
      if (!names.includes(keyName)) {
        throw new InvalidParameter(
          `missing key ${keyName} for client certificate ${name}. CA certificates must use the extension .crt`,
        );
      }
      found.pairs.push({
        cert: readFileSync(join(directory, name), "utf8"),
        key: readFileSync(join(directory, keyName), "utf8"),
      });
    }
    if (name.endsWith(".key") && !names.includes(`${name.slice(0, -".key".length)}.cert`)) {
      throw new InvalidParameter(
        `missing client certificate ${name.slice(0, -".key".length)}.cert for key ${name}`,
      );
    }
  }
  return found;
}

/** A host as one component of a path: it comes from a reference or a redirect. The usual port may be left out. */
function directoryNames(host: string): string[] {
  if (!/^[a-z0-9.:[\]_-]+$/i.test(host) || /^\.+$/.test(host)) return [];
  return /:\d+$/.test(host) ? [host] : [host, `${host}:443`];
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}
