/**
 * Registries as a client sees them: names to hosts, credentials to tokens, and a repository's content.
 * `openRegistries` is called once a command; it keeps connections and tokens for all of its transfers.
 */
import type { AuthConfig, AuthResponse, RegistrySearchItem } from "../../core/objects.ts";
import type { Reference } from "../../images/references.ts";
import { Directory } from "./directory.ts";
import type { Patience } from "./patience.ts";
import { RemoteRepository } from "./remote-repository.ts";
import type { Repository } from "./repository.ts";

export type { Patience } from "./patience.ts";
export type { BlobOutcome, RemoteDocument, Repository } from "./repository.ts";

/** As `registry-mirrors` and `insecure-registries` of daemon.json say it, and where certificates lie. */
export interface RegistryConfig {
  /** Base addresses that are asked before Docker Hub, in order. */
  mirrors: readonly string[];
  /** `host[:port]` or a CIDR range: plain HTTP and unknown certificates are taken. Loopback addresses always are. */
  insecure: readonly string[];
  /** Directories with `<host[:port]>/{*.crt,*.cert,*.key}`: /etc/davit/certs.d, /etc/docker/certs.d. */
  certificateDirectories: readonly string[];
  /** A directory with `*.crt`, `*.cert` and `*.key` for every registry, in the place of those directories. */
  certificates?: string;
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY in either case, as the environment has them. */
  proxies: { http?: string; https?: string; no?: string };
  /** SSL_CERT_FILE: a bundle of certificates trusted in place of the built-in ones. */
  certificateFile?: string;
}

export interface RegistriesOptions {
  /** `davit/0.1.0 …` */
  userAgent: string;
  /** Where it is to be other than usual. */
  patience?: Partial<Patience>;
}

export interface Registries {
  /** The repository of a name, with these credentials or none. */
  repository(reference: Pick<Reference, "domain" | "path">, auth?: AuthConfig): Repository;
  /** @throws Unauthorized in Docker's words. */
  login(auth: AuthConfig, signal?: AbortSignal): Promise<AuthResponse>;
  /** `term` may begin with a registry's host, as for `docker search`. */
  search(
    term: string,
    options?: { limit?: number; auth?: AuthConfig; signal?: AbortSignal },
  ): Promise<RegistrySearchItem[]>;
  /** Begins to look for a registry. What comes of it is told to those who ask it for something. */
  seek(domain: string, first?: FirstQuestion): void;
  /** Forgets credentials and tokens. Idle connections end by themselves. */
  close(): void;
}

/** What will be asked first: where a registry has to be looked for, that is asked in place of `/v2/`. */
export interface FirstQuestion {
  path: string;
  tag: string;
}

/** Opens no connection yet. */
export function openRegistries(config: RegistryConfig, options: RegistriesOptions): Registries {
  const directory = new Directory(config, options);
  return {
    repository: ({ domain, path }, auth) => new RemoteRepository(directory.site(domain, auth), path),
    login: async (auth, signal) => {
      const { domainOfAddress, login } = await import("./login.ts");
      const { session, authorizer } = await directory.loginSession(domainOfAddress(auth.serveraddress), auth);
      return await login(session, authorizer, directory.patience, signal);
    },
    search: async (term, { limit, auth, signal } = {}) => {
      const { defaultLimit, search, splitTerm } = await import("./search.ts");
      const { domain, words } = splitTerm(term);
      const session = await directory.searchSession(domain, auth);
      return await search(session, words, limit ?? defaultLimit, directory.patience, signal);
    },
    seek: (domain, first) => directory.seek(domain, first),
    close: () => directory.forget(),
  };
}
