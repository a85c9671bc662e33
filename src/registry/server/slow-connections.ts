/**
 * Connections that are held without a request. Bun ends those that are silent, but a client that sends a byte of its
 * headers now and then is not silent: it may hold its connection for ever, and many of them all that there are.
 */
import { connectionsTo, endConnection, peerName } from "../../linux/connections.ts";

export interface SlowConnectionWatch {
  /** A request has begun: its connection is left alone until `end` is called. */
  begin(address: { address: string; port: number } | null): { end(): void };
  stop(): void;
}

/** How often connections are looked at within the time that they have. */
const looksPerLimit = 4;

/**
 * Ends connections to `port` that have had no request, and got nothing from us, for `limit` milliseconds. What is
 * left of an answer that the client takes slowly does not count.
 */
export function watchSlowConnections(port: number, limit: number): SlowConnectionWatch {
  const busy = new Map<string, number>();
  const look = () => {
    for (const connection of connectionsTo(port)) {
      const isHeld = connection.silentFor > limit && connection.unsent === 0;
      if (isHeld && !busy.has(connection.peer)) endConnection(connection);
    }
  };
  const timer = setInterval(look, limit / looksPerLimit);
  timer.unref();
  return {
    begin: (address) => {
      if (address === null) return { end: () => {} };
      const name = peerName(address.address, address.port);
      busy.set(name, (busy.get(name) ?? 0) + 1);
      return {
        end: () => {
          const rest = (busy.get(name) ?? 1) - 1;
          if (rest === 0) busy.delete(name);
          else busy.set(name, rest);
        },
      };
    },
    stop: () => clearInterval(timer),
  };
}
