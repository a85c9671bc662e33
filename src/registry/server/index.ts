/**
 * A registry of our own: OCI distribution 1.1 over HTTP, with Docker's search, authentication, quotas, a pull-through
 * cache and garbage collection while it serves. `openRegistryServer` is the library's door; `davit registry serve`
 * is the command's.
 */
export type { Authenticator } from "./auth/access.ts";
export { openHtpasswd } from "./auth/htpasswd.ts";
export { openTokenAuthentication } from "./auth/token.ts";
export type { RequestRecord } from "./log.ts";
export type { Upstream } from "./proxy.ts";
export { openRegistryServer, type RegistryServer, type RegistryServerOptions } from "./server.ts";
