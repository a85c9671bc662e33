/** What has gone through the interfaces of a network namespace. */

import { hasErrno } from "../core/errors.ts";
import type { NetworkStats } from "../core/objects.ts";
import { readFileSync } from "./files.ts";

/**
 * Counters of all interfaces but loopback in the network namespace of `pid`, by name, as `stats` shows them.
 * Empty when the process is gone.
 */
export function interfaceCounters(pid: number): Record<string, NetworkStats> {
  try {
    return parseNetDev(readFileSync(`/proc/${pid}/net/dev`, "latin1"));
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ESRCH", "EINVAL")) return {};
    throw error;
  }
}

/** proc_pid_net(5), dev: two lines of head, then `name: 8 numbers received, 8 numbers sent`. */
export function parseNetDev(text: string): Record<string, NetworkStats> {
  const interfaces: Record<string, NetworkStats> = {};
  for (const line of text.split("\n").slice(2)) {
    const [name, counters] = line.split(":");
    if (name === undefined || counters === undefined || name.trim() === "lo") continue;
    const numbers = counters.trim().split(/\s+/).map(Number);
    const at = (column: number) => numbers[column] ?? 0;
    interfaces[name.trim()] = {
      rx_bytes: at(0),
      rx_packets: at(1),
      rx_errors: at(2),
      rx_dropped: at(3),
      tx_bytes: at(8),
      tx_packets: at(9),
      tx_errors: at(10),
      tx_dropped: at(11),
    };
  }
  return interfaces;
}
