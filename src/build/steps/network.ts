/**
 * Networks for RUN steps: a network namespace on the instance's bridge, used by one step at a time. A step cannot
 * change its namespace, so the next one may have it.
 */
import { type ContainerId, newContainerId } from "../../core/ids.ts";
import {
  closeNamespace,
  openNamespace,
  unshareNamespaces,
  withNetworkNamespace,
} from "../../linux/namespaces.ts";
import { startTimeOf } from "../../linux/processes.ts";
import { plugInto, prepareHost, release, reserve } from "../../network/endpoint.ts";
import type { Endpoint } from "../../network/model.ts";
import { beginOperation, endOperation } from "../../state/containers.ts";
import type { State } from "../../state/state.ts";

export interface BuildNetwork {
  /** Where a runtime finds the namespace. */
  readonly path: string;
  readonly endpoint: Endpoint;
}

interface Pooled extends BuildNetwork {
  readonly id: ContainerId;
  readonly namespace: number;
}

/** To be disposed of at the end of the build. */
export class BuildNetworks implements Disposable {
  readonly #state: State;
  readonly #idle: Pooled[] = [];
  readonly #all = new Set<Pooled>();

  constructor(state: State) {
    this.#state = state;
  }

  /** A network for one step. @throws Unavailable when something is missing or full */
  async take(): Promise<BuildNetwork> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    const id = newContainerId();
    // The intent: by it repair leaves the address alone while we live, and takes it back when we are dead.
    beginOperation(this.#state, { containerId: id, verb: "build", owner: thisProcess() });
    let namespace: number | undefined;
    try {
      const reservation = await reserve(this.#state, {
        containerId: id,
        containerName: `build-${id.slice(0, 12)}`,
      });
      try {
        namespace = newNamespace();
        await prepareHost(this.#state, reservation);
        await plugInto(this.#state, reservation.endpoint, namespace);
      } finally {
        reservation[Symbol.dispose]();
      }
      const { endpoint } = reservation;
      const made: Pooled = { id, namespace, endpoint, path: `/proc/${process.pid}/fd/${namespace}` };
      this.#all.add(made);
      return made;
    } catch (error) {
      this.#release(id, namespace);
      throw error;
    }
  }

  /** @param network no process is in it any more. */
  give(network: BuildNetwork): void {
    for (const pooled of this.#all) if (pooled === network) this.#idle.push(pooled);
  }

  [Symbol.dispose](): void {
    for (const { id, namespace } of this.#all) this.#release(id, namespace);
    this.#all.clear();
    this.#idle.length = 0;
  }

  #release(id: ContainerId, namespace: number | undefined): void {
    if (namespace !== undefined) closeNamespace(namespace);
    release(this.#state, id);
    endOperation(this.#state, id);
  }
}

function thisProcess() {
  return { pid: process.pid, started: startTimeOf(process.pid) ?? 0 };
}

/** A fresh network namespace, held by the descriptor alone. */
function newNamespace(): number {
  return withNetworkNamespace("/proc/thread-self/ns/net", () => {
    unshareNamespaces("net");
    return openNamespace("/proc/thread-self/ns/net");
  });
}
