/** Under which key a registry's credentials are kept: its host, but for Docker Hub its index' address. */
import { defaultDomain } from "../../images/references.ts";

export const hubKey = "https://index.docker.io/v1/";

/** `docker.io`, `index.docker.io`, `https://index.docker.io/v1/` and nothing at all mean Docker Hub. */
export function serverKey(registry: string): string {
  if (registry === hubKey) return hubKey;
  const host = hostOfKey(registry);
  const hubNames = ["", defaultDomain, "index.docker.io", "registry-1.docker.io"];
  return hubNames.includes(host) ? hubKey : host;
}

/** The host of a key as older clients wrote it: `https://registry.example/v2/` is `registry.example`. */
export function hostOfKey(key: string): string {
  return (
    key
      .replace(/^https?:\/\//, "")
      .split("/")[0]
      ?.toLowerCase() ?? ""
  );
}
