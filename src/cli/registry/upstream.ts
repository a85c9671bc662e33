/** The registry behind `--proxy`. */
import { version } from "../../core/version.ts";
import { openRegistries } from "../../registry/client/index.ts";
import type { Upstream } from "../../registry/server/index.ts";
import { CommandError } from "../command.ts";

/** Docker Hub's API is not where its name says. */
const hub = new Set(["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"]);

/** A cache must not keep its own clients waiting: it answers from its disk when the upstream is slow to answer. */
const patience = { attempts: 2, firstDelay: 200, longestDelay: 2000, silence: 20_000 };

/**
 * @param address `https://registry.example.com`; `http://…` for one without TLS
 * @throws CommandError
 */
export function openUpstream(
  address: string,
  env: Readonly<Record<string, string | undefined>>,
  credentials: { username?: string; password?: string },
): Upstream {
  const match = /^(https?):\/\/([^/?#@\s]+)\/?$/.exec(address);
  const [, scheme, host = ""] = match ?? [];
  if (match === null) throw new CommandError(`--proxy: "${address}" is not https://HOST[:PORT]`);
  const domain = hub.has(host) ? "docker.io" : host;
  const proxyOf = (name: string) => env[name.toUpperCase()] || env[name.toLowerCase()];
  const [http, https, no] = [proxyOf("http_proxy"), proxyOf("https_proxy"), proxyOf("no_proxy")];
  const certificateFile = env.SSL_CERT_FILE;
  const registries = openRegistries(
    {
      mirrors: [],
      insecure: scheme === "http" ? [domain] : [],
      certificateDirectories: ["/etc/davit/certs.d", "/etc/docker/certs.d"],
      proxies: {
        ...(http === undefined ? {} : { http }),
        ...(https === undefined ? {} : { https }),
        ...(no === undefined ? {} : { no }),
      },
      ...(certificateFile ? { certificateFile } : {}),
    },
    { userAgent: `davit/${version} (registry cache)`, patience },
  );
  return {
    repository: (path) => registries.repository({ domain, path }, credentials),
    close: () => registries.close(),
  };
}
