/** Credentials on their way to an Engine API. Engine API reference, "Authentication". */
import type { AuthConfig } from "../../core/objects.ts";

/**
 * `X-Registry-Auth`: base64url (with its padding: older servers insist) of the JSON. Sent without credentials, too:
 * servers before API 1.42 refuse a push without it.
 */
export function authHeader(auth: AuthConfig | undefined): Record<string, string> {
  const encoded = Buffer.from(JSON.stringify(auth ?? {})).toString("base64");
  return { "X-Registry-Auth": encoded.replaceAll("+", "-").replaceAll("/", "_") };
}
