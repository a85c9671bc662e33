/**
 * Makes what a graph describes: each operation once, as soon as its inputs are there, independent ones side by side.
 * A step whose key is known is taken from the cache. Steps of different builds with the same key run once.
 */
import { DavitError, messageOf } from "../../core/errors.ts";
import { isDigest } from "../../core/ids.ts";
import type { IngestSession } from "../../images/content.ts";
import { lease } from "../../images/leases.ts";
import { Limit } from "../../images/transfer/limit.ts";
import { closeFile, openDirectory } from "../../linux/paths.ts";
import { lock } from "../../state/locks.ts";
import { unpacksAlone } from "../../storage/rebase.ts";
import { addAlias, forgetResult, type ResultRecord, useResult } from "../cache/results.ts";
import { lockStep } from "../cache/step-lock.ts";
import { plainDigests } from "../context/digests.ts";
import type { FileTree } from "../context/tree.ts";
import type {
  FilesOperation,
  ImageOperation,
  Operation,
  OperationMount,
  RunOperation,
  StepOperation,
} from "../graph/operations.ts";
import type { BuildRooms } from "../rooms.ts";
import { directoryStep } from "../steps/directory.ts";
import { type Fetched, fetchSources } from "../steps/fetch.ts";
import { filesStep } from "../steps/files.ts";
import { makeLayer, mountAside, snapshotOf, type Worked } from "../steps/layer.ts";
import { linkTree } from "../steps/link-tree.ts";
import { BuildNetworks } from "../steps/network.ts";
import { laterTime, type Root } from "../steps/root.ts";
import { type RunLimits, runStep } from "../steps/run.ts";
import { prepareMounts } from "../steps/run-mounts.ts";
import { openSandbox } from "../steps/sandbox.ts";
import { type FoundSource, findSources, keyOfSources } from "../steps/sources.ts";
import { filesDefinition, keyOf, runDefinition } from "./keys.ts";
import type { Progress, Vertex } from "./progress.ts";

export interface SolveOptions {
  readonly progress: Progress;
  readonly session: IngestSession;
  /** The main context has the empty name. The tree stays open as long as the solver. */
  readonly openContext: (name: string, vertex: Vertex) => Promise<FileTree>;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  /** Sockets of agents by id. */
  readonly agents: ReadonlyMap<string, string>;
  readonly proxy: Readonly<Record<string, string>>;
  readonly limits: RunLimits;
  /** Nanoseconds since 1970: what all times become, whatever they follow from. */
  readonly epoch: bigint | undefined;
  readonly signal: AbortSignal;
}

type Value =
  | { readonly kind: "root"; readonly root: Root }
  | { readonly kind: "tree"; readonly tree: FileTree };

/** What is told of a step. */
type StepVertex = Pick<Vertex, "started" | "cached" | "finished">;

/** Of a part of a step nothing is told. */
const untold: StepVertex = { started: () => {}, cached: () => {}, finished: () => {} };

/** Steps that work at the same time. They wait for disks, networks and their own programs more than for us. */
const stepsAtOnce = 32;

export class Solver implements AsyncDisposable {
  readonly #rooms: BuildRooms;
  readonly #options: SolveOptions;
  readonly #signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #values = new Map<Operation, Promise<Value>>();
  readonly #trees = new Map<Root, Promise<FileTree>>();
  readonly #networks: BuildNetworks;
  readonly #limit = new Limit(stepsAtOnce);
  readonly #held = new AsyncDisposableStack();
  /** The step that failed first. */
  failed: { readonly operation: StepOperation; readonly vertex: Vertex } | undefined;

  constructor(rooms: BuildRooms, options: SolveOptions) {
    this.#rooms = rooms;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#networks = new BuildNetworks(rooms.state);
  }

  /** Ends what still works, and takes back mounts and networks. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new DavitError("conflict", "context canceled"));
    await Promise.allSettled(this.#values.values());
    await Promise.allSettled(this.#trees.values());
    await this.#held.disposeAsync();
    this.#networks[Symbol.dispose]();
  }

  /**
   * Makes the operation's file system.
   * @throws what the first step that failed has thrown; all others have ended by then
   */
  async root(operation: Operation): Promise<Root> {
    try {
      const value = await this.#value(operation);
      if (value.kind === "root") return value.root;
      throw new DavitError("invalid", "a context is no file system of an image");
    } catch (error) {
      this.#stop.abort(error);
      await Promise.allSettled(this.#values.values());
      this.#options.signal.throwIfAborted();
      throw this.#stop.signal.reason;
    }
  }

  #value(operation: Operation): Promise<Value> {
    const known = this.#values.get(operation);
    if (known !== undefined) return known;
    const made = this.#make(operation).catch((error: unknown) => {
      this.#stop.abort(error);
      throw error;
    });
    this.#values.set(operation, made);
    // Whoever needs it hears of its failure; it may be that nobody waits any more.
    made.catch(() => undefined);
    return made;
  }

  async #make(operation: Operation): Promise<Value> {
    switch (operation.kind) {
      case "scratch":
        return { kind: "root", root: this.#scratch() };
      case "image":
        return { kind: "root", root: await this.#image(operation) };
      case "context":
        return { kind: "tree", tree: await this.#context(operation.name, operation.title, operation.digest) };
      default:
        return { kind: "root", root: await this.#step(operation) };
    }
  }

  #scratch(): Root {
    const { epoch } = this.#options;
    return { key: keyOf(["scratch", String(epoch ?? "")]), fileTime: epoch ?? 0n, layers: [] };
  }

  /** Its layers are leased before they are looked for (images/leases.ts, rule 3). */
  async #image({ image, title, digest }: ImageOperation): Promise<Root> {
    const { epoch, progress } = this.#options;
    const vertex = progress.vertex(title, digest);
    vertex.cached();
    const created = Date.parse(image.config.created ?? "");
    const fileTime = epoch ?? (Number.isFinite(created) && created > 0 ? BigInt(created) * 1_000_000n : 0n);
    return {
      key: keyOf(["image", image.layers.at(-1)?.chainId ?? "", String(fileTime)]),
      fileTime,
      layers: image.layers.map((layer) => ({ kind: "image", ...layer })),
    };
  }

  async #context(name: string, title: string, digest: string): Promise<FileTree> {
    const vertex = this.#options.progress.vertex(title, digest);
    vertex.started();
    try {
      const tree = await this.#options.openContext(name, vertex);
      vertex.finished();
      return tree;
    } catch (error) {
      vertex.finished(messageOf(error));
      throw error;
    }
  }

  async #rootOf(operation: Operation): Promise<Root> {
    const value = await this.#value(operation);
    if (value.kind === "root") return value.root;
    throw new DavitError("invalid", "a context is no file system of an image");
  }

  async #step(operation: StepOperation): Promise<Root> {
    const others = operation.kind === "run" ? operation.mounts.flatMap(({ from }) => from ?? []) : [];
    const sources = operation.kind === "files" ? [operation.from] : [];
    const [input] = await Promise.all([
      this.#rootOf(operation.input),
      ...[...others, ...sources].map((other) => this.#value(other)),
    ]);
    this.#signal.throwIfAborted();
    const vertex = this.#options.progress.vertex(operation.title, operation.digest);
    try {
      switch (operation.kind) {
        case "run":
          return await this.#run(operation, input, vertex);
        case "directory": {
          const key = keyOf(["directory", operation.path, operation.user, input.key]);
          return await this.#cachedOr(operation, input, key, vertex, async (root) => {
            directoryStep(operation, root);
            return { fileTime: input.fileTime };
          });
        }
        case "files":
          return await this.#files(operation, input, vertex);
      }
    } catch (error) {
      // What only ended because something else failed is not told of.
      const isOurs = !this.#signal.aborted;
      if (isOurs) this.failed ??= { operation, vertex };
      vertex.finished(isOurs ? messageOf(error) : "CANCELED");
      throw error;
    }
  }

  /** The result with this key from the cache; else what `work` makes. */
  async #cachedOr(
    operation: StepOperation,
    input: Root,
    key: string,
    vertex: StepVertex,
    work: (root: string) => Promise<Worked>,
  ): Promise<Root> {
    const early = operation.ignoreCache ? undefined : await this.#find(key, input);
    if (early !== undefined) {
      vertex.cached();
      return early;
    }
    using _alone = await lockStep(this.#rooms.instance, key, this.#signal);
    // Another build may just have made it.
    const found = operation.ignoreCache ? undefined : await this.#find(key, input);
    if (found !== undefined) {
      vertex.cached();
      return found;
    }
    const made = await this.#limit.run(async () => {
      this.#signal.throwIfAborted();
      vertex.started();
      return makeLayer(this.#rooms, { key, input, description: operation.title, work });
    });
    vertex.finished();
    return made;
  }

  async #find(key: string, input: Root): Promise<Root | undefined> {
    const { state, bootId, snapshots } = this.#rooms;
    const record = useResult(state, key, bootId);
    if (record === undefined) return undefined;
    if (!(await this.#hold(record.snapshot)) || !(await snapshots.has(record.snapshot))) {
      forgetResult(state, record.id);
      return undefined;
    }
    return asRoot(record, input);
  }

  /** A snapshot that has become an image's layer is leased, so that it stays when the image goes. */
  async #hold(snapshot: string): Promise<boolean> {
    if (!isDigest(snapshot)) return true;
    using _lock = await lock(this.#rooms.instance, "images", { mode: "shared", signal: this.#signal });
    lease(this.#options.session, snapshot);
    return this.#rooms.snapshots.has(snapshot);
  }

  async #run(operation: RunOperation, input: Root, vertex: Vertex): Promise<Root> {
    const roots = new Map<OperationMount, Root>();
    for (const mount of operation.mounts) {
      if (mount.from !== undefined) roots.set(mount, await this.#rootOf(mount.from));
    }
    const { secrets, agents, proxy, limits } = this.#options;
    const key = keyOf([
      "run",
      runDefinition(operation),
      input.key,
      ...operation.mounts.map((mount) => roots.get(mount)?.key ?? ""),
    ]);
    return this.#cachedOr(operation, input, key, vertex, async (root) => {
      using sandbox = openSandbox(this.#rooms.state);
      const sources = {
        rooms: this.#rooms,
        directory: sandbox.directory,
        secrets,
        agents,
        rootOf: (mount: OperationMount) => roots.get(mount),
        signal: this.#signal,
      };
      await using prepared = await prepareMounts(operation.mounts, sources);
      await runStep(operation, root, {
        rooms: this.#rooms,
        networks: this.#networks,
        sandbox,
        limits,
        proxy,
        mounts: prepared.mounts,
        secretEnvironment: prepared.environment,
        output: (stream, data) => vertex.log(stream, data),
        signal: this.#signal,
      });
      return { fileTime: input.fileTime };
    });
  }

  async #files(operation: FilesOperation, input: Root, vertex: Vertex): Promise<Root> {
    const from = await this.#value(operation.from);
    const quick =
      from.kind === "root" ? keyOf(["files", operation.digest, input.key, from.root.key]) : undefined;
    const isFetching = operation.sources.some(({ kind }) => kind === "url" || kind === "git");
    if (quick !== undefined && !operation.ignoreCache && !isFetching) {
      const found = await this.#find(quick, input);
      if (found !== undefined) {
        vertex.cached();
        return found;
      }
    }
    const tree = from.kind === "tree" ? from.tree : await this.#treeOf(from.root);
    using fetched: Fetched = await fetchSources(operation.sources, {
      rooms: this.#rooms,
      vertex,
      fileTime: input.fileTime,
      signal: this.#signal,
    });
    const named = await findSources(tree, operation.sources, {
      exclude: operation.exclude,
      signal: this.#signal,
    });
    tree.digests.save();
    const sources = [...named, ...fetched.sources];
    const content = [filesDefinition(operation), keyOfSources(sources)];
    const root =
      operation.isLinked && unpacksAlone(this.#rooms.snapshots)
        ? await this.#linked(operation, input, content, sources, vertex)
        : await this.#copied(operation, input, keyOf(["files", ...content, input.key]), sources, vertex);
    const top = root.layers.at(-1);
    if (quick !== undefined && top?.kind === "result" && !isFetching)
      addAlias(this.#rooms.state, quick, top.id);
    return root;
  }

  #copied(
    operation: FilesOperation,
    input: Root,
    key: string,
    sources: readonly FoundSource[],
    vertex: StepVertex,
  ): Promise<Root> {
    return this.#cachedOr(operation, input, key, vertex, async (path) => {
      const context = {
        fileTime: input.fileTime,
        canWriteLater: unpacksAlone(this.#rooms.snapshots),
        signal: this.#signal,
      };
      const { newest, finish } = await filesStep(operation, path, sources, context);
      // Files that are older than what they stand on do not make the result any older.
      return { fileTime: this.#options.epoch ?? laterTime(newest, input.fileTime), finish };
    });
  }

  /** `--link`: the files are copied once, whatever they are put on, and linked into a layer on each base. */
  async #linked(
    operation: FilesOperation,
    input: Root,
    content: readonly unknown[],
    sources: readonly FoundSource[],
    vertex: Vertex,
  ): Promise<Root> {
    const alone = await this.#copied(
      operation,
      this.#scratch(),
      keyOf(["alone", ...content]),
      sources,
      untold,
    );
    const key = keyOf(["linked", alone.key, input.key]);
    return this.#cachedOr({ ...operation, ignoreCache: false }, input, key, vertex, async () => {
      const snapshot = snapshotOf(this.#rooms, alone);
      const from = snapshot === undefined ? undefined : await this.#rooms.snapshots.layerTarget(snapshot);
      return {
        fileTime: laterTime(alone.fileTime, input.fileTime),
        finish: async (layer) => {
          if (from !== undefined) linkTree(from.path, layer);
        },
      };
    });
  }

  /** A stage's files, to be copied from: mounted until the build ends. */
  #treeOf(root: Root): Promise<FileTree> {
    const known = this.#trees.get(root);
    if (known !== undefined) return known;
    const made = (async (): Promise<FileTree> => {
      const aside = this.#held.use(await mountAside(this.#rooms, root));
      const fd = openDirectory(aside.path);
      this.#held.defer(() => closeFile(fd));
      return { root: fd, ignore: undefined, belongsToRoot: false, digests: plainDigests };
    })();
    this.#trees.set(root, made);
    made.catch(() => undefined);
    return made;
  }
}

function asRoot(record: ResultRecord, input: Root): Root {
  return {
    key: record.key,
    fileTime: record.fileTime,
    layers: [...input.layers, { kind: "result", id: record.id }],
  };
}
