/** The port that a registry listens on. With new certificates another listener takes it over. */
import { messageOf } from "../../core/errors.ts";
import { type KeyPair, type KeyPairFiles, WatchedKeyPair } from "./certificates.ts";

export interface ListenerOptions {
  hostname: string;
  port: number;
  tls?: KeyPair | KeyPairFiles | undefined;
  /** Milliseconds between two looks at the files of `tls`. */
  checkEvery: number;
  /** Seconds that a connection may be silent. */
  idleTimeout: number;
  fetch: (request: Request, bun: Bun.Server<undefined>) => Promise<Response>;
  warn: (message: string) => void;
}

export interface Listener {
  readonly url: URL;
  readonly port: number;
  /** Requests whose answers have not been sent in full. */
  readonly pendingRequests: number;
  /** Takes no new connections; with `isHard`, ends those that there are. */
  stop(isHard: boolean): Promise<void>;
}

/** @throws InvalidParameter for files that are no certificate and key; Bun's error when the address is taken. */
export function listen(options: ListenerOptions): Listener {
  const { tls } = options;
  const files = tls !== undefined && "certFile" in tls ? new WatchedKeyPair(tls) : undefined;
  let pair = tls === undefined || "cert" in tls ? tls : files?.read();
  const first = open(options, options.port, pair);
  const { url } = first;
  const port = first.port ?? 0;
  let current = first;
  const former = new Set<Bun.Server<undefined>>();

  const renew = (): void => {
    try {
      const next = files?.changed();
      if (next === undefined) return;
      former.add(current);
      const old = current;
      // The port is free at once. Most of what goes on goes on; what the runtime takes for idle is cut, and resumes.
      old.stop(false).then(() => former.delete(old));
      try {
        current = open(options, port, next);
        pair = next;
        options.warn("registry serves with the new certificate");
      } catch (error) {
        current = open(options, port, pair);
        throw error;
      }
    } catch (error) {
      options.warn(`the certificate stays as it was: ${messageOf(error)}`);
    }
  };
  const timer = files === undefined ? undefined : setInterval(renew, options.checkEvery);
  timer?.unref();
  const all = () => [current, ...former];
  return {
    url,
    port,
    get pendingRequests() {
      return all().reduce((sum, { pendingRequests }) => sum + pendingRequests, 0);
    },
    stop: async (isHard) => {
      clearInterval(timer);
      await Promise.all(all().map((server) => server.stop(isHard)));
    },
  };
}

function open(options: ListenerOptions, port: number, tls: KeyPair | undefined): Bun.Server<undefined> {
  return Bun.serve({
    hostname: options.hostname,
    port,
    ...(tls === undefined ? {} : { tls }),
    // Uploads are measured and refused by their endpoints.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    idleTimeout: options.idleTimeout,
    development: false,
    fetch: options.fetch,
  });
}
