/** Where an Engine API listens: the `-H` / DOCKER_HOST syntax of Docker, parsed once. */
import { InvalidParameter, NotImplemented } from "../../core/errors.ts";

export interface TlsOptions {
  /** PEM texts. */
  ca?: string;
  cert?: string;
  key?: string;
  /** Check the server's certificate against `ca` (or the system's) and its name. True when absent. */
  verify?: boolean;
}

export type Endpoint = {
  /** As the user wrote it, for messages. */
  readonly host: string;
} & (
  | { readonly kind: "unix"; readonly path: string }
  | {
      readonly kind: "tcp";
      readonly hostname: string;
      readonly port: number;
      readonly tls: TlsOptions | undefined;
    }
);

const defaultPort = { plain: 2375, tls: 2376 };

/**
 * Takes `unix:///path`, `tcp://host:port`, `http://host:port` and `https://host:port`.
 * @throws InvalidParameter for anything else.
 */
export function parseHost(host: string, tls?: TlsOptions): Endpoint {
  const separator = host.indexOf("://");
  const scheme = host.slice(0, Math.max(separator, 0));
  const rest = host.slice(separator + 3);
  if (separator <= 0 || rest === "") throw new InvalidParameter(`unable to parse docker host \`${host}\``);
  if (scheme === "unix") return { kind: "unix", host, path: rest };
  if (scheme === "ssh" || scheme === "fd" || scheme === "npipe") {
    throw new NotImplemented(`docker host ${host}: ${scheme}:// is not supported; use unix:// or tcp://`);
  }
  if (scheme !== "tcp" && scheme !== "http" && scheme !== "https") {
    throw new InvalidParameter(`unable to parse docker host \`${host}\``);
  }
  const secure = tls ?? (scheme === "https" ? {} : undefined);
  const url = URL.parse(`http://${rest}`);
  if (url === null || url.hostname === "")
    throw new InvalidParameter(`unable to parse docker host \`${host}\``);
  const fallback = secure === undefined ? defaultPort.plain : defaultPort.tls;
  // `http://` drops an explicit `:80`; ask the text itself.
  const port = /:\d+$/.test(url.host) ? Number(url.port) : /:80(\/|$)/.test(rest) ? 80 : fallback;
  return { kind: "tcp", host, hostname: url.hostname.replace(/^\[|\]$/g, ""), port, tls: secure };
}

/** How Bun's sockets and `fetch` want TLS options. */
export function bunTls(tls: TlsOptions): {
  ca?: string;
  cert?: string;
  key?: string;
  rejectUnauthorized: boolean;
} {
  return {
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls.verify ?? true,
  };
}
