/**
 * Makes what a graph describes: each operation once, as soon as its inputs are there, independent ones side by side.
 * A step whose key is known is taken from the cache. Steps of different builds with the same key run once.
 */
import { DavitError, messageOf } from "../../core/errors.ts";
import type { IngestSession } from "../../images/content.ts";
import { Limit } from "../../images/transfer/limit.ts";
import { closeFile, openDirectory } from "../../linux/paths.ts";
import { unpacksAlone } from "../../storage/rebase.ts";
import { noteCopied, openEarlier } from "../cache/earlier.ts";
import type { RemoteCaches } from "../cache/remote/import.ts";
import { addAlias } from "../cache/results.ts";
import { lockStep } from "../cache/step-lock.ts";
import { plainDigests } from "../context/digests.ts";
import type { Material } from "../context/material.ts";
import type { FileTree } from "../context/tree.ts";
import type { StepFacts } from "../explain/inputs.ts";
import type { Notebook } from "../explain/notebook.ts";
import {
  type FilesOperation,
  type ImageOperation,
  isStep,
  type LocalImage,
  type Operation,
  type OperationMount,
  type RunOperation,
  type StepOperation,
} from "../graph/operations.ts";
import type { BuildRooms } from "../rooms.ts";
import type { Fetched } from "../steps/fetch.ts";
import type { FilesDone } from "../steps/files.ts";
import { bringHere, makeLayer, mountAside, snapshotOf, type Worked } from "../steps/layer.ts";
import type { BuildNetworks } from "../steps/network.ts";
import { laterTime, type Root } from "../steps/root.ts";
import type { RunLimits } from "../steps/run.ts";
import { type FoundSource, findSources, keyOfSources } from "../steps/sources.ts";
import { Foresight, sidesOf } from "./foresight.ts";
import { keyOf, keys } from "./keys.ts";
import { findResult } from "./lookup.ts";
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
  /** Caches elsewhere: asked for what is not in the one here. */
  readonly elsewhere?: Pick<RemoteCaches, "find" | "keyOf">;
  /** All steps are looked at, also those of stages whose files are known not to be needed. */
  readonly isThorough?: boolean;
  /** Is told what goes into steps. */
  readonly notebook?: Pick<Notebook, "note" | "done" | "missed">;
  readonly signal: AbortSignal;
}

type Value =
  | { readonly kind: "root"; readonly root: Root }
  | { readonly kind: "tree"; readonly tree: FileTree };

/** What is told of a step. */
type StepVertex = Pick<Vertex, "started" | "cached" | "finished" | "explain">;

/** Of a part of a step nothing is told. */
const untold: StepVertex = { started: () => {}, cached: () => {}, finished: () => {}, explain: () => {} };

/** Steps that work at the same time. They wait for disks, networks and their own programs more than for us. */
const stepsAtOnce = 32;

export class Solver implements AsyncDisposable {
  readonly #rooms: BuildRooms;
  readonly #options: SolveOptions;
  readonly #signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #values = new Map<Operation, Promise<Value>>();
  readonly #trees = new Map<Root, Promise<FileTree>>();
  #networks: BuildNetworks | undefined;
  readonly #limit = new Limit(stepsAtOnce);
  readonly #held = new AsyncDisposableStack();
  readonly #found = new Map<FilesOperation, Promise<FoundSource[]>>();
  readonly #foresight: Foresight;
  /** What was not made, as the step that takes files of it was known without. */
  readonly #skipped = new Set<Operation>();
  /** What steps have fetched from elsewhere. */
  readonly materials = new Map<Operation, readonly Material[]>();
  /** The step that failed first. */
  failed: { readonly operation: StepOperation; readonly vertex: Vertex } | undefined;

  constructor(rooms: BuildRooms, options: SolveOptions) {
    this.#rooms = rooms;
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#foresight = new Foresight({
      state: rooms.state,
      keyElsewhere: (alias) => options.elsewhere?.keyOf(alias),
      scratchKey: () => this.#scratch().key,
      imageKey: ({ image }) => this.#rootOfImage(image).key,
      sourcesOf: (operation) => this.#sourcesOfContext(operation),
      linksLayers: unpacksAlone(rooms.snapshots),
    });
  }

  /** Ends what still works, and takes back mounts and networks. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new DavitError("conflict", "context canceled"));
    await Promise.allSettled(this.#values.values());
    await Promise.allSettled(this.#trees.values());
    await this.#held.disposeAsync();
    this.#networks?.[Symbol.dispose]();
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

  /** What steps have come to so far. */
  async results(): Promise<Map<StepOperation, Root>> {
    const results = new Map<StepOperation, Root>();
    for (const [operation, made] of this.#values) {
      // What failed and was not needed has no result.
      const value = await made.catch(() => undefined);
      if (isStep(operation) && value?.kind === "root") results.set(operation, value.root);
    }
    return results;
  }

  /** Tells of steps that nobody needed to look for, as what they led to is known: they count as cached. */
  tellSkipped(): void {
    const told = new Set<Operation>(this.#values.keys());
    const tell = (operation: Operation) => {
      if (told.has(operation) || operation.kind === "context" || operation.kind === "scratch") return;
      told.add(operation);
      if (isStep(operation)) for (const each of [operation.input, ...sidesOf(operation)]) tell(each);
      this.#options.progress.vertex(operation.title, operation.digest).cached();
    };
    for (const operation of this.#skipped) tell(operation);
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
    this.#options.progress.vertex(title, digest).cached();
    return this.#rootOfImage(image);
  }

  #rootOfImage(image: LocalImage): Root {
    const { epoch } = this.#options;
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
    const foreseen = this.#options.isThorough === true ? undefined : await this.#foresight.keyOf(operation);
    if (foreseen !== undefined) {
      const found = await this.#find(foreseen, await this.#rootOf(operation.input));
      if (found !== undefined) {
        this.#options.progress.vertex(operation.title, operation.digest).cached();
        for (const side of sidesOf(operation)) this.#skipped.add(side);
        return found;
      }
    }
    const root = await this.#stepItself(operation);
    this.#options.notebook?.done(operation);
    const top = root.layers.at(-1);
    if (top?.kind === "result") this.#foresight.note(operation, top.id);
    return root;
  }

  async #stepItself(operation: StepOperation): Promise<Root> {
    const [input] = await Promise.all([
      this.#rootOf(operation.input),
      ...sidesOf(operation).map((other) => this.#value(other)),
    ]);
    this.#signal.throwIfAborted();
    const vertex = this.#options.progress.vertex(operation.title, operation.digest);
    try {
      switch (operation.kind) {
        case "run":
          return await this.#run(operation, input, vertex);
        case "directory": {
          const key = keys.directory(operation, input.key);
          this.#note(operation, key, input);
          return await this.#cachedOr(operation, input, key, vertex, async (root) => {
            const { directoryStep } = await import("../steps/directory.ts");
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

  #note(
    operation: StepOperation,
    key: string,
    input: Root,
    { sources, keyOf: keyOfSide }: Partial<Pick<StepFacts, "keyOf" | "sources">> = {},
  ): void {
    const keyOfOther = keyOfSide ?? (() => undefined);
    this.#options.notebook?.note(operation, { key, inputKey: input.key, keyOf: keyOfOther, sources });
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
      if (vertex !== untold) this.#options.notebook?.missed(operation, vertex);
      return makeLayer(this.#rooms, { key, input, description: operation.title, work });
    });
    vertex.finished();
    return made;
  }

  #find(key: string, input: Root): Promise<Root | undefined> {
    const { session, elsewhere } = this.#options;
    return findResult(this.#rooms, key, input, { session, elsewhere, signal: this.#signal });
  }

  async #run(operation: RunOperation, input: Root, vertex: Vertex): Promise<Root> {
    const roots = new Map<OperationMount, Root>();
    for (const mount of operation.mounts) {
      if (mount.from !== undefined) roots.set(mount, await this.#rootOf(mount.from));
    }
    const { secrets, agents, proxy, limits } = this.#options;
    const mounted = operation.mounts.map((mount) => roots.get(mount)?.key ?? "");
    const key = keys.run(operation, input.key, mounted);
    const shown = new Map([...roots].map(([{ from }, root]) => [from, root.key]));
    this.#note(operation, key, input, { keyOf: (from) => shown.get(from) });
    return this.#cachedOr(operation, input, key, vertex, async (root) => {
      const { BuildNetworks, explainingForeign, openSandbox, prepareMounts, runStep } = await import(
        "../steps/running.ts"
      );
      this.#networks ??= new BuildNetworks(this.#rooms.state);
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
      const context = {
        rooms: this.#rooms,
        networks: this.#networks,
        sandbox,
        limits,
        proxy,
        mounts: prepared.mounts,
        secretEnvironment: prepared.environment,
        output: (stream: "stdout" | "stderr", data: Uint8Array) => vertex.log(stream, data),
        signal: this.#signal,
      };
      await explainingForeign(operation.platform, () => runStep(operation, root, context));
      return { fileTime: input.fileTime };
    });
  }

  async #files(operation: FilesOperation, input: Root, vertex: Vertex): Promise<Root> {
    const from = await this.#value(operation.from);
    const quick = from.kind === "root" ? keys.filesOf(operation, input.key, from.root.key) : undefined;
    const isFetching = fetches(operation);
    if (quick !== undefined && !operation.ignoreCache && !isFetching) {
      const found = await this.#find(quick, input);
      if (found !== undefined) {
        vertex.cached();
        return found;
      }
    }
    const tree = from.kind === "tree" ? from.tree : await this.#treeOf(from.root);
    using fetched = isFetching ? await this.#fetched(operation, vertex) : nothingFetched;
    if (fetched.materials.length > 0) this.materials.set(operation, fetched.materials);
    const named = await this.#sources(operation, tree);
    this.#found.delete(operation);
    const sources = [...named, ...fetched.sources];
    const content = keyOfSources(sources);
    const fromKey = from.kind === "root" ? from.root.key : undefined;
    const isAside = operation.isLinked && unpacksAlone(this.#rooms.snapshots);
    const key = isAside
      ? keys.linked(keys.alone(operation, content), input.key)
      : keys.files(operation, content, input.key);
    this.#note(operation, key, input, { sources, keyOf: () => fromKey });
    const copying = { sources, vertex, name: nameOfCopy(operation, tree) };
    const root = isAside
      ? await this.#linked(operation, input, content, copying)
      : await this.#copied(operation, input, key, copying);
    const top = root.layers.at(-1);
    if (quick !== undefined && top?.kind === "result" && !isFetching)
      addAlias(this.#rooms.state, quick, top.id);
    return root;
  }

  async #fetched({ sources }: FilesOperation, vertex: Vertex): Promise<Fetched> {
    const { fetchSources } = await import("../steps/fetch.ts");
    return fetchSources(sources, { rooms: this.#rooms, vertex, signal: this.#signal });
  }

  /** What a step takes of a tree: looked at once. */
  #sources(operation: FilesOperation, tree: FileTree): Promise<FoundSource[]> {
    const known = this.#found.get(operation);
    if (known !== undefined) return known;
    const { sources, exclude } = operation;
    const found = findSources(tree, sources, { exclude, signal: this.#signal }).then((all) => {
      tree.digests.save();
      return all;
    });
    this.#found.set(operation, found);
    found.catch(() => undefined);
    return found;
  }

  async #sourcesOfContext(operation: FilesOperation): Promise<FoundSource[] | undefined> {
    if (fetches(operation)) return undefined;
    const from = await this.#value(operation.from);
    return from.kind === "tree" ? this.#sources(operation, from.tree) : undefined;
  }

  async #copied(
    operation: FilesOperation,
    input: Root,
    key: string,
    { sources, vertex, name }: Copying,
  ): Promise<Root> {
    let done: FilesDone | undefined;
    using held = new DisposableStack();
    const root = await this.#cachedOr(operation, input, key, vertex, async (path) => {
      const canWriteLater = unpacksAlone(this.#rooms.snapshots);
      const earlier = canWriteLater && name !== undefined ? await openEarlier(this.#rooms, name) : undefined;
      const context = {
        fileTime: input.fileTime,
        canWriteLater,
        earlier: earlier === undefined ? undefined : held.use(earlier),
        searchPath: this.#rooms.searchPath,
        signal: this.#signal,
      };
      const { filesStep } = await import("../steps/files.ts");
      done = await filesStep(operation, path, sources, context);
      // Files that are older than what they stand on do not make the result any older.
      const fileTime = this.#options.epoch ?? laterTime(done.newest, input.fileTime);
      return { fileTime, finish: done.finish };
    });
    const top = root.layers.at(-1);
    if (done !== undefined && name !== undefined && top?.kind === "result") {
      noteCopied(this.#rooms, name, { id: top.id, files: done.copied() });
    }
    return root;
  }

  /** `--link`: the files are copied once, whatever they are put on, and linked into a layer on each base. */
  async #linked(
    operation: FilesOperation,
    input: Root,
    content: string,
    { sources, vertex, name }: Copying,
  ): Promise<Root> {
    const aloneKey = keys.alone(operation, content);
    const key = keys.linked(aloneKey, input.key);
    const known = operation.ignoreCache ? undefined : await this.#find(key, input);
    if (known !== undefined) {
      vertex.cached();
      return known;
    }
    const alone = await this.#copied(operation, this.#scratch(), aloneKey, { sources, vertex: untold, name });
    return this.#cachedOr({ ...operation, ignoreCache: false }, input, key, vertex, async () => {
      await bringHere(alone);
      const snapshot = snapshotOf(this.#rooms, alone);
      const from = snapshot === undefined ? undefined : await this.#rooms.snapshots.layerTarget(snapshot);
      return {
        fileTime: laterTime(alone.fileTime, input.fileTime),
        finish: async (layer) => {
          const { linkTree } = await import("../steps/link-tree.ts");
          if (from !== undefined) linkTree(from.path, layer);
          return undefined;
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

const nothingFetched: Fetched = { sources: [], materials: [], [Symbol.dispose]: () => {} };

/** True for a step that takes what no cache key tells of before it is fetched. */
function fetches({ sources }: FilesOperation): boolean {
  return sources.some(({ kind }) => kind === "url" || kind === "git");
}

interface Copying {
  readonly sources: readonly FoundSource[];
  readonly vertex: StepVertex;
  /** Of the copy, for what it leaves to later ones; undefined where none will come. */
  readonly name: string | undefined;
}

/** The same for all copies of the same place in the same context to the same destination, whatever is there now. */
function nameOfCopy(operation: FilesOperation, { digests }: FileTree): string | undefined {
  const { sources, destination, isLinked } = operation;
  return digests.name === undefined
    ? undefined
    : keyOf(["copy", digests.name, sources, destination, isLinked]);
}
