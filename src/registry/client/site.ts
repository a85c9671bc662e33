/** One registry with one user's credentials: its own address, and mirrors that are asked before it. */
import type { Endpoint } from "./endpoints.ts";
import { RequestFailure } from "./failures.ts";
import type { Patience } from "./patience.ts";
import type { Session } from "./session.ts";

export class Site {
  readonly domain: string;
  readonly patience: Patience;
  readonly #main: () => Promise<Session>;
  readonly #mirrors: () => Promise<readonly Session[]>;
  readonly #deadMirrors = new Set<Endpoint>();

  constructor(parts: {
    domain: string;
    patience: Patience;
    main: () => Promise<Session>;
    mirrors: () => Promise<readonly Session[]>;
  }) {
    this.domain = parts.domain;
    this.patience = parts.patience;
    this.#main = parts.main;
    this.#mirrors = parts.mirrors;
  }

  /** The registry itself: what changes it, and what mirrors need not have. */
  main(): Promise<Session> {
    return this.#main();
  }

  /** Asks the mirrors, then the registry itself, whose failure is the one that counts. */
  async read<Result>(
    signal: AbortSignal | undefined,
    work: (session: Session, patience: Patience) => Promise<Result>,
  ): Promise<Result> {
    for (const mirror of await this.#living()) {
      try {
        return await work(mirror, this.#mirrorPatience());
      } catch (error) {
        signal?.throwIfAborted();
        this.#noteFailure(mirror, error);
      }
    }
    return await work(await this.#main(), this.patience);
  }

  /** For a transfer that goes on at another place when one fails in the middle. */
  places(): { current(): Promise<Session>; giveUp(session: Session): boolean } {
    const given = new Set<Session>();
    return {
      current: async () => {
        const mirror = (await this.#living()).find((session) => !given.has(session));
        return mirror ?? (await this.#main());
      },
      giveUp: (session) => {
        if (!session.endpoint.isMirror) return false;
        given.add(session);
        return true;
      },
    };
  }

  async #living(): Promise<readonly Session[]> {
    return (await this.#mirrors()).filter(({ endpoint }) => !this.#deadMirrors.has(endpoint));
  }

  /** A mirror that does not answer is not asked for every layer again. */
  #noteFailure({ endpoint }: Session, error: unknown): void {
    if (error instanceof RequestFailure && error.status === undefined) this.#deadMirrors.add(endpoint);
  }

  /** There is somewhere else to go. */
  #mirrorPatience(): Patience {
    return { ...this.patience, attempts: Math.min(2, this.patience.attempts) };
  }
}
