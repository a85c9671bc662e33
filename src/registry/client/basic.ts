/** Basic credentials. RFC 7617. */
import type { AuthConfig } from "../../core/objects.ts";

/** `Basic …`, or undefined where there is no user and password. */
export function basicHeader(auth: AuthConfig | undefined): string | undefined {
  if (auth === undefined) return undefined;
  if (auth.username && auth.password !== undefined) {
    return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;
  }
  // As config.json holds it.
  return auth.auth && /^[A-Za-z0-9+/=_-]+$/.test(auth.auth) ? `Basic ${auth.auth}` : undefined;
}
