/**
 * LocalEngine: the Engine whose work is done in this very process, on this machine. One file a verb; they meet
 * in the instance's records (src/state) and in nothing else, so that any number of processes may work side by side.
 */
import type { Instance } from "../../core/instance.ts";
import type { ContentStore } from "../../images/content.ts";
import type { FirstQuestion, Registries, RegistryConfig } from "../../registry/client/index.ts";
import { openState } from "../../state/state.ts";
import type { Builds } from "../build.ts";
import type { Containers, Engine, ExecPlan, Execs } from "../engine.ts";
import { lazyWorkingContainers } from "../working/index.ts";
import { localImages } from "./images.ts";
import { type Local, makeLocal, plainRegistries, registryOptions } from "./local.ts";
import { repair } from "./repair.ts";
import { withStores } from "./stores.ts";

export interface LocalEngineOptions {
  instance: Instance;
  /** Program and arguments that start davit itself. */
  self: readonly string[];
  /** PATH for runtimes and conmon. */
  searchPath: string;
  storageDriver?: string;
  /** An exec that will be created and started: its conmon is spawned as soon as the container is known. */
  exec?: ExecPlan;
  /** A registry that will be asked, and for what first: it is looked for while the database is opened. */
  registry?: { domain: string; first?: FirstQuestion };
  /** Mirrors, insecure registries, certificates and proxies; read when a registry is first asked. */
  registryConfig?: () => RegistryConfig;
}

/** Opens the instance, making it on first use, and repairs what a crash may have left. */
export async function openLocalEngine(options: LocalEngineOptions): Promise<Engine> {
  const transfer = options.registry === undefined ? {} : await beginTransfer(options, options.registry);
  const state = openState(options.instance);
  const local = makeLocal({ ...options, state, ...transfer });
  if (options.exec !== undefined) await (await import("./exec-ahead.ts")).beginExec(local, options.exec);
  await repair(local);
  const engine: Engine = {
    containers: localContainers(local),
    execs: localExecs(local),
    images: localImages(local),
    volumes: lazyVolumes(local),
    networks: lazyNetworks(local),
    system: lazySystem(local),
    builds: lazyBuilds(local),
    working: lazyWorkingContainers(local),
    close: async () => state.close(),
  };
  return withStores(engine, local);
}

/** Asks the registry, and opens what its answer will be compared with. */
async function beginTransfer(
  { instance, registryConfig }: LocalEngineOptions,
  { domain, first }: { domain: string; first?: FirstQuestion },
): Promise<{ registries: Registries; content: ContentStore }> {
  const { openRegistries } = await import("../../registry/client/index.ts");
  const registries = openRegistries(registryConfig?.() ?? plainRegistries, registryOptions);
  registries.seek(domain, first);
  // The request is under way before the database keeps this thread busy.
  await Bun.sleep(0);
  const { openContent } = await import("../../images/content.ts");
  return { registries, content: openContent(instance.dataRoot) };
}

/** Each verb is loaded when it is called: a command needs one or two of them. */
function localContainers(local: Local): Containers {
  return {
    list: async (query) => (await import("./list.ts")).list(local, query),
    create: async (request, query) => (await import("./create.ts")).create(local, request, query),
    inspect: async (id, query) => (await import("./inspect.ts")).inspect(local, id, query),
    start: async (id) => (await import("./start.ts")).start(local, id),
    stop: async (id, query) => (await import("./stop.ts")).stop(local, id, query),
    restart: async (id, query) => (await import("./stop.ts")).restart(local, id, query),
    kill: async (id, signal) => (await import("./kill.ts")).kill(local, id, signal),
    pause: async (id) => (await import("./pause.ts")).pause(local, id),
    unpause: async (id) => (await import("./pause.ts")).unpause(local, id),
    rename: async (id, name) => (await import("./rename.ts")).rename(local, id, name),
    remove: async (id, query) => (await import("./remove.ts")).remove(local, id, query),
    wait: async (id, condition, signal) => (await import("./wait.ts")).wait(local, id, condition, signal),
    attach: async (id, query) => (await import("./attach.ts")).attach(local, id, query),
    resize: async (id, size) => (await import("./resize.ts")).resize(local, id, size),
    async *logs(id, query) {
      yield* (await import("./logs.ts")).logs(local, id, query);
    },
    top: async (id, psArgs) => (await import("./top.ts")).top(local, id, psArgs),
    async *stats(id, query) {
      yield* (await import("./stats.ts")).stats(local, id, query);
    },
  };
}

function localExecs(local: Local): Execs {
  return {
    create: async (id, config) => (await import("./exec.ts")).createExec(local, id, config),
    start: async (id, query) => (await import("./exec.ts")).startAttached(local, id, query),
    startDetached: async (id) => (await import("./exec.ts")).startDetached(local, id),
    resize: async (id, size) => (await import("./exec.ts")).resizeExec(local, id, size),
    inspect: async (id) => (await import("./exec.ts")).inspectExec(local, id),
  };
}

function lazyVolumes(local: Local): Engine["volumes"] {
  const volumes = async () => {
    const [{ localVolumes }, { volumeStore }] = await Promise.all([
      import("./volumes.ts"),
      import("./volume-store.ts"),
    ]);
    return localVolumes(volumeStore(local));
  };
  return {
    list: async (filters) => (await volumes()).list(filters),
    create: async (request) => (await volumes()).create(request),
    inspect: async (name) => (await volumes()).inspect(name),
    remove: async (name, query) => (await volumes()).remove(name, query),
    prune: async (filters) => (await volumes()).prune(filters),
  };
}

function lazyNetworks(local: Local): Engine["networks"] {
  const networks = async () => (await import("./networks.ts")).localNetworks(local);
  return {
    list: async (filters) => (await networks()).list(filters),
    inspect: async (id) => (await networks()).inspect(id),
  };
}

function lazyBuilds(local: Local): Builds {
  return {
    async *build(request, query) {
      yield* (await import("./build.ts")).build(local, request, query);
    },
    cache: {
      list: async () => (await import("./build-cache.ts")).listBuildCache(local),
      prune: async (query) => (await import("./build-cache.ts")).pruneBuildCache(local, query),
    },
  };
}

function lazySystem(local: Local): Engine["system"] {
  const system = async () => (await import("./system.ts")).localSystem(local);
  return {
    ping: async () => (await system()).ping(),
    version: async () => (await system()).version(),
    info: async () => (await system()).info(),
    async *events(options) {
      yield* (await system()).events(options);
    },
    login: async (auth) => (await system()).login(auth),
    distribution: async (reference, options) => (await system()).distribution(reference, options),
    diskUsage: async () => (await system()).diskUsage(),
    check: async (options) => (await system()).check(options),
  };
}
