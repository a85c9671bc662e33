/** Who may do what. An authenticator looks at a request's credentials and says what they allow. */
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

/** Everybody may do everything. */
export const openToAll: Authenticator = {
  authorize: async () => ({ user: undefined, allows: () => true }),
};
