/** How often and how long a request is tried again. */
import { RequestFailure } from "./failures.ts";

/** Times in milliseconds. */
export interface Patience {
  /** How often a request is sent at most. Progress of a download begins the count anew. */
  attempts: number;
  /** The wait before the second attempt; doubled for each further one, with jitter. */
  firstDelay: number;
  /** No wait is longer; a server that asks for more is not waited for. */
  longestDelay: number;
  /** How long a server may say nothing while it owes an answer. */
  silence: number;
  /** The same after an upload: a registry checks a blob's digest before it answers. */
  uploadSilence: number;
}

export const usualPatience: Patience = {
  attempts: 5,
  firstDelay: 500,
  longestDelay: 60_000,
  silence: 120_000,
  uploadSilence: 600_000,
};

/** Counts attempts and waits between them. */
export class Attempts {
  readonly #patience: Patience;
  #made = 0;

  constructor(patience: Patience) {
    this.#patience = patience;
  }

  /** Something got further: failures so far are forgiven. */
  reset(): void {
    this.#made = 0;
  }

  /**
   * Returns when it is time for the next attempt.
   * @throws `failure` itself when there is to be none.
   */
  async next(failure: unknown, signal: AbortSignal | undefined): Promise<void> {
    this.#made += 1;
    if (!(failure instanceof RequestFailure) || !failure.isPassing) throw failure;
    if (this.#made >= this.#patience.attempts) throw failure;
    const { firstDelay, longestDelay } = this.#patience;
    if (failure.retryAfter !== undefined && failure.retryAfter > longestDelay) throw failure;
    const backOff = Math.min(firstDelay * 2 ** (this.#made - 1), longestDelay);
    await pause(failure.retryAfter ?? backOff * (0.5 + Math.random() / 2), signal);
  }
}

/** Runs `work` until it succeeds or fails for good. */
export async function withPatience<Result>(
  patience: Patience,
  signal: AbortSignal | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  const attempts = new Attempts(patience);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await attempts.next(error, signal);
    }
  }
}

/** Milliseconds that a Retry-After header means: seconds or a date. RFC 9110, 10.2.3. */
export function parseRetryAfter(text: string | null, now: number): number | undefined {
  if (text === null) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const stop = () => reject(signal?.reason);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}
