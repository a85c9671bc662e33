/** Who may do what. An authenticator looks at a request's credentials and says what they allow. */
import { RegistryFailure } from "../failures.ts";
import type { RepositoryName } from "../names.ts";

export type Action = "pull" | "push" | "delete";

/** What a request is about to do. */
export type Need =
  /** `GET /v2/`: any valid credentials. */
  | { kind: "base" }
  /** Listing repositories. */
  | { kind: "catalog" }
  | { kind: "repository"; name: RepositoryName; actions: readonly Action[] };

/** What the credentials of a request allow. */
export interface Grant {
  /** For the log; undefined for anybody. */
  readonly user: string | undefined;
  allows(name: RepositoryName, action: Action): boolean;
}

export interface Authenticator {
  /**
   * Checks the credentials in `authorization` (the header's value, or undefined).
   * @throws RegistryFailure UNAUTHORIZED with the challenge, when they are missing, wrong or allow too little.
   */
  authorize(authorization: string | undefined, need: Need): Promise<Grant>;
}

/**
 * The refusal that asks for credentials, for `WWW-Authenticate: challenge`. It says what was wanted: Docker shows the
 * message only of a refusal with a detail.
 */
export function unauthorized(challenge: string, need: Need): RegistryFailure {
  const detail =
    need.kind === "repository"
      ? need.actions.map((action) => ({ Type: "repository", Name: need.name, Action: action }))
      : undefined;
  return new RegistryFailure("UNAUTHORIZED", "authentication required", {
    headers: { "WWW-Authenticate": challenge },
    ...(detail === undefined ? {} : { detail }),
  });
}

/** Everybody may do everything. */
export const openToAll: Authenticator = {
  authorize: async () => ({ user: undefined, allows: () => true }),
};
