/** What the verbs of a LocalEngine work with: the instance's records and rooms, opened once. */

import type { ContainerId } from "../../core/ids.ts";
import type { Instance } from "../../core/instance.ts";
import type { AttachedStreams } from "../../core/streams.ts";
import { version } from "../../core/version.ts";
import type { ContentStore } from "../../images/content.ts";
import { currentBootId } from "../../linux/boot.ts";
import { startTimeOf } from "../../linux/processes.ts";
import type { Registries, RegistryConfig } from "../../registry/client/index.ts";
import { type CgroupLayout, detectCgroups } from "../../runtime/cgroups.ts";
import type { HostFacts } from "../../runtime/host.ts";
import { findRuntime, type OciRuntime } from "../../runtime/runtimes.ts";
import type { ContainerRecord, ProcessIdentity } from "../../state/containers.ts";
import { emitEvent, type NewEvent } from "../../state/events.ts";
import type { State } from "../../state/state.ts";
import type { Snapshotter } from "../../storage/snapshotter.ts";

/** Somebody in this process who attached before the start: gets the streams, or nothing if the start fails. */
export interface WaitingClient {
  connected(streams: AttachedStreams): void;
  failed(): void;
}

export interface Local {
  readonly instance: Instance;
  readonly state: State;
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  /** Program and arguments that start davit: what conmon runs when a container has ended. */
  readonly self: readonly string[];
  /** PATH, where runtimes and conmon are looked for. */
  readonly searchPath: string;
  /** This process, as the owner of operations. */
  readonly me: ProcessIdentity;
  /** Tells this boot of the machine from others. */
  readonly bootId: string;
  /** Mirrors, insecure registries, certificates and proxies. */
  readonly registryConfig: RegistryConfig;
  /** Opened once, so that the transfers of a process share connections and tokens. */
  readonly registries: Registries;
  readonly waitingClients: Map<ContainerId, WaitingClient[]>;
  cgroups(): CgroupLayout;
  host(): HostFacts;
  runtime(requested?: string): OciRuntime;
  emit(event: NewEvent): void;
}

export interface LocalOptions {
  instance: Instance;
  state: State;
  self: readonly string[];
  searchPath: string;
  storageDriver?: string;
  registryConfig?: () => RegistryConfig;
  /** Where it is known that it will be needed. */
  content?: ContentStore | undefined;
  /** Where one of them was asked for already. */
  registries?: Registries | undefined;
}

/** Few commands need more than one of these: each is loaded when it is first used, which has its price, too. */
const rooms = {
  content: (): typeof import("../../images/content.ts") => require("../../images/content.ts"),
  snapshots: (): typeof import("../../storage/open.ts") => require("../../storage/open.ts"),
  host: (): typeof import("../../runtime/host.ts") => require("../../runtime/host.ts"),
  registries: (): typeof import("../../registry/client/index.ts") =>
    require("../../registry/client/index.ts"),
};

/** No mirrors and no exceptions. */
export const plainRegistries: RegistryConfig = {
  mirrors: [],
  insecure: [],
  certificateDirectories: [],
  proxies: {},
};

export const registryOptions = { userAgent: `davit/${version} (linux)` };

/** Opens nothing that is not used: each room is loaded when it is first asked for. */
export function makeLocal(options: LocalOptions): Local {
  const { instance, state, self, searchPath } = options;
  const cgroups = once(detectCgroups);
  const host = once(() => rooms.host().readHostFacts(cgroups()));
  const content = once(() => options.content ?? rooms.content().openContent(instance.dataRoot));
  const snapshots = once(() => rooms.snapshots().openSnapshotter(state, options.storageDriver));
  // A driver that is asked for by name is checked at once.
  if (options.storageDriver !== undefined) snapshots();
  const registryConfig = once(options.registryConfig ?? (() => plainRegistries));
  const registries = once(
    () => options.registries ?? rooms.registries().openRegistries(registryConfig(), registryOptions),
  );
  const bootId = once(() => currentBootId());
  const me = once(() => ({ pid: process.pid, started: startTimeOf(process.pid) ?? 0 }));
  return {
    instance,
    state,
    self,
    searchPath,
    cgroups,
    host,
    get content() {
      return content();
    },
    get snapshots() {
      return snapshots();
    },
    get me() {
      return me();
    },
    get registryConfig() {
      return registryConfig();
    },
    get registries() {
      return registries();
    },
    get bootId() {
      return bootId();
    },
    waitingClients: new Map(),
    runtime: (requested) => {
      return findRuntime({ execRoot: instance.execRoot, searchPath, cgroups }, requested);
    },
    emit: (event) => emitEvent(state, event),
  };
}

function once<Value>(make: () => Value): () => Value {
  let made: { value: Value } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** An event of a container, with the attributes that Docker gives: image, name and labels, and some of its own. */
export function containerEvent(
  record: ContainerRecord,
  action: string,
  attributes: Record<string, string> = {},
): NewEvent {
  return {
    Type: "container",
    Action: action,
    Actor: {
      ID: record.id,
      Attributes: { ...record.config.Labels, image: record.imageName, name: record.name, ...attributes },
    },
  };
}

/** Now, as the API writes times. */
export function timestamp(milliseconds: number = Date.now()): string {
  const text = new Date(milliseconds).toISOString();
  return text.replace(/\.(\d+)Z$/, (_, fraction: string) => `.${fraction.padEnd(9, "0")}Z`);
}
