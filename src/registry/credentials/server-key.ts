/** Under which key a registry's credentials are kept: its host, but for Docker Hub its index' address. */
import { defaultDomain } from "../../images/references.ts";

export const hubKey = "https://index.docker.io/v1/";

/** Where docker keeps what a login with a browser leaves beside the password. */
export const tokenKeys = { access: `${hubKey}access-token`, refresh: `${hubKey}refresh-token` } as const;

export function isTokenKey(key: string): boolean {
  return key === tokenKeys.access || key === tokenKeys.refresh;
}

/** `docker.io`, `index.docker.io`, `https://index.docker.io/v1/` and nothing at all mean Docker Hub. */
export function serverKey(registry: string): string {
  if (registry === hubKey) return hubKey;
  const host = hostOfKey(registry);
  const hubNames = ["", defaultDomain, "index.docker.io", "registry-1.docker.io"];
  return hubNames.includes(host) ? hubKey : host;
}

/** The host of a key as older clients wrote it: `https://registry.example/v2/` is `registry.example`. */
export function hostOfKey(key: string): string {
  if (isTokenKey(key)) return key;
  return (
    key
      .replace(/^https?:\/\//, "")
      .split("/")[0]
      ?.toLowerCase() ?? ""
  );
}
