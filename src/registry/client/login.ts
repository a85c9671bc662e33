/** `login`: whether a registry takes these credentials. Docker's flow: GET /v2/, answering its challenge. */
import { InvalidParameter, Unauthorized } from "../../core/errors.ts";
import type { AuthResponse } from "../../core/objects.ts";
import { defaultDomain } from "../../images/references.ts";
import type { Authorizer } from "./authorizer.ts";
import { RequestFailure, shownUrl } from "./failures.ts";
import { type Patience, withPatience } from "./patience.ts";
import { statusLine } from "./refusal.ts";
import type { Session } from "./session.ts";
import { typed } from "./translate.ts";

/** The registry of a server address: `https://index.docker.io/v1/` is `docker.io`, `https://x:5000/v2/` is `x:5000`. */
export function domainOfAddress(address: string | undefined): string {
  const host =
    (address ?? "")
      .replace(/^https?:\/\//, "")
      .split("/")[0]
      ?.toLowerCase() ?? "";
  const hubNames = ["", defaultDomain, "index.docker.io", "registry-1.docker.io"];
  if (hubNames.includes(host)) return defaultDomain;
  if (URL.parse(`https://${host}/`) === null)
    throw new InvalidParameter(`invalid registry address: ${address}`);
  return host;
}

/** @throws Unauthorized, Unavailable in Docker's words. */
export async function login(
  session: Session,
  authorizer: Authorizer,
  patience: Patience,
  signal: AbortSignal | undefined,
): Promise<AuthResponse> {
  try {
    const answer = await withPatience(patience, signal, () =>
      session.request({ method: "GET", target: "v2/", scopes: [], expect: [200], signal }),
    );
    await answer.discard();
  } catch (error) {
    throw meaning(error, session);
  }
  return { Status: "Login Succeeded", IdentityToken: authorizer.refreshToken ?? "" };
}

function meaning(error: unknown, { endpoint }: Session): unknown {
  if (!(error instanceof RequestFailure)) return error;
  // The token server's refusal, or nobody there: says already where.
  if (error.status === undefined || error.cause instanceof RequestFailure) return typed(error);
  const address = shownUrl(new URL("v2/", endpoint.base));
  const words = `login attempt to ${address} failed with status: ${statusLine(error.status)}`;
  return error.status === 401 || error.status === 403
    ? new Unauthorized(words, { cause: error })
    : typed(error, words);
}
