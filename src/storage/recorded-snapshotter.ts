/**
 * The life cycle that all drivers share: records first, then directories; locks between processes; repair.
 *
 * Locks: whoever makes or removes a directory holds `<root>/lock` shared; `sweep` takes it exclusively before it
 * calls something half-made. Mounting, unmounting and committing hold the snapshot's own directory. Nobody holds both.
 */

import { Conflict, hasErrno } from "../core/errors.ts";
import { faultPoint } from "../core/fault.ts";
import { join } from "../core/paths.ts";
import { readDirectory } from "../linux/directories.ts";
import { syncFileSystem } from "../linux/disks.ts";
import { existsSync, mkdirSync, statSync } from "../linux/files.ts";
import { closeLockFile, openLockFile, tryLock } from "../linux/flock.ts";
import { spreadSubdirectories } from "../linux/inode-flags.ts";
import { closeFile, openDirectory } from "../linux/paths.ts";
import type { State } from "../state/state.ts";
import type { StorageBackend } from "./backend.ts";
import { openRecords, type SnapshotRecords } from "./records.ts";
import type { LayerTarget, SnapshotInfo, Snapshotter } from "./snapshotter.ts";

export class RecordedSnapshotter implements Snapshotter {
  readonly driver: string;
  readonly #backend: StorageBackend;
  readonly #records: SnapshotRecords;
  readonly #state: State;

  constructor(state: State, backend: StorageBackend) {
    this.driver = backend.driver;
    this.#backend = backend;
    this.#records = openRecords(state, backend.driver);
    this.#state = state;
    mkdirSync(backend.root, { recursive: true, mode: 0o710 });
    // The lock comes with the first snapshot: until then the directory is new.
    if (!existsSync(join(backend.root, "lock"))) spreadSubdirectories(backend.root);
  }

  async prepare(key: string, parent: string | undefined): Promise<void> {
    using _making = await this.#lockRoot("shared");
    const directory = this.#records.reserve(key, parent);
    faultPoint("snapshot:reserved");
    try {
      await this.#backend.create(directory, this.#records.ancestors(key));
    } catch (error) {
      this.#destroy(directory);
      throw error;
    }
    faultPoint("snapshot:made");
    this.#records.activate(directory);
  }

  async mount(key: string, options: { volatile?: boolean } = {}): Promise<string> {
    const { directory, state } = this.#records.get(key);
    if (state !== "active")
      throw new Conflict(`snapshot ${key} is committed: it is not mounted to be written`);
    using _mounting = await this.#lockDirectory(directory);
    return this.#backend.mount(directory, this.#records.ancestors(key), {
      volatile: options.volatile === true,
    });
  }

  async unmount(key: string): Promise<void> {
    const row = this.#records.find(key);
    if (row === undefined) return;
    using _mounting = await this.#lockDirectory(row.directory);
    this.#backend.unmount(row.directory);
  }

  mountPath(key: string): string {
    return this.#backend.rootPath(this.#records.get(key).directory);
  }

  async layerTarget(key: string): Promise<LayerTarget> {
    return this.#backend.target(this.#records.get(key).directory, this.#records.ancestors(key));
  }

  async commit(key: string, name: string): Promise<void> {
    const { directory } = this.#records.get(key);
    using _mounting = await this.#lockDirectory(directory);
    this.#records.commit(key, name);
    faultPoint("snapshot:committed");
    // After the record: a conflict must leave the active snapshot as it was, mounted or not.
    this.#backend.unmount(directory);
    this.#backend.freeze(directory);
  }

  async replace(key: string, name: string): Promise<void> {
    // Alone: nobody is making a snapshot on the old one.
    using _alone = await this.#lockRoot("exclusive");
    const old = this.#records.get(name).directory;
    const { directory } = this.#records.get(key);
    this.#backend.unmount(directory);
    using held = new DisposableStack();
    for (const { directory: above, key: child } of this.#records.activeAbove(name)) {
      held.use(await this.#lockDirectory(above));
      if (this.#backend.isMounted(above)) {
        throw new Conflict(`snapshot ${name} cannot be replaced: ${child} is mounted and stands on it`);
      }
    }
    this.#records.replace(key, name);
    faultPoint("snapshot:replaced");
    this.#backend.freeze(directory);
    this.#destroy(old);
  }

  async setAside(name: string): Promise<string> {
    return this.#records.setAside(name);
  }

  async remove(key: string): Promise<void> {
    using _removing = await this.#lockRoot("shared");
    const directory = this.#records.condemn(key);
    if (directory === undefined) return;
    faultPoint("snapshot:condemned");
    using _claimed = await this.#lockIfThere(directory);
    // Somebody who collected may have been quicker.
    if (this.#records.directories().has(directory)) this.#destroy(directory);
  }

  async condemn(key: string): Promise<void> {
    const directory = this.#records.condemn(key);
    if (directory !== undefined) this.#backend.unmount(directory);
  }

  async collect(): Promise<void> {
    using _removing = await this.#lockRoot("shared");
    for (const directory of this.#records.condemned()) {
      using claimed = this.#claim(directory);
      if (claimed !== undefined) this.#destroy(directory);
    }
  }

  async usage(key: string): Promise<{ bytes: number; inodes: number }> {
    return this.#backend.usage(this.#records.get(key).directory, this.#records.ancestors(key));
  }

  async describe(key: string): Promise<Record<string, string>> {
    return this.#backend.describe(this.#records.get(key).directory, this.#records.ancestors(key));
  }

  describeDriver(): [string, string][] {
    return this.#backend.describeDriver();
  }

  async has(key: string): Promise<boolean> {
    return this.#records.find(key) !== undefined;
  }

  async list(): Promise<SnapshotInfo[]> {
    return this.#records.list();
  }

  async orphans(): Promise<string[]> {
    // A row is there before its directory and goes after it: the directories have to be looked at first.
    const found = directoriesIn(this.#backend.root);
    const known = this.#records.directories();
    return found
      .filter((directory) => !known.has(directory))
      .filter((directory) => existsSync(join(this.#backend.root, directory)));
  }

  problemOf(key: string): string | undefined {
    const row = this.#records.find(key);
    if (row === undefined) return "there is no record of its snapshot";
    const { path } = this.#backend.target(row.directory, this.#records.ancestors(key));
    return existsSync(path) ? undefined : `its files are missing (${path})`;
  }

  async sync(): Promise<void> {
    syncFileSystem(this.#backend.root);
    // That took the records along, unless somebody mounted a file system of its own for the snapshots.
    const { dataRoot } = this.#state.instance;
    if (statSync(dataRoot).dev !== statSync(this.#backend.root).dev) this.#state.makeDurable();
  }

  async sweep(isUsed: (info: SnapshotInfo) => boolean): Promise<void> {
    for (const info of this.#records.list()) {
      if (info.state === "active" && !isUsed(info)) await this.remove(info.key);
      // Killed in the middle of a commit: still mounted where it was written.
      if (info.state === "committed") await this.#finishCommit(info.key);
    }
    // Somebody makes or removes a snapshot right now: what looks half-made may be just that.
    using alone = this.#lockRootIfFree();
    if (alone === undefined) return;
    for (const directory of this.#records.unfinished()) this.#destroy(directory);
    const known = this.#records.directories();
    for (const directory of directoriesIn(this.#backend.root)) {
      if (!known.has(directory)) this.#destroy(directory);
    }
  }

  /** What a commit does after its record, for one that was killed there. */
  async #finishCommit(key: string): Promise<void> {
    const row = this.#records.find(key);
    if (row === undefined) return;
    using held = await this.#lockIfThere(row.directory);
    if (held === undefined || this.#records.find(key)?.directory !== row.directory) return;
    this.#backend.unmount(row.directory);
    this.#backend.freeze(row.directory);
  }

  #destroy(directory: string): void {
    this.#backend.unmount(directory);
    this.#backend.destroy(directory);
    faultPoint("snapshot:destroyed");
    this.#records.forget(directory);
  }

  async #lockRoot(mode: "shared" | "exclusive"): Promise<Disposable> {
    const path = join(this.#backend.root, "lock");
    return waitForLock(openLockFile(path), mode, path);
  }

  #lockRootIfFree(): Disposable | undefined {
    const path = join(this.#backend.root, "lock");
    return lockIfFree(openLockFile(path), path);
  }

  /** The right to remove a condemned directory; undefined when somebody else has it, or has used it. */
  #claim(directory: string): Disposable | undefined {
    const path = join(this.#backend.root, directory);
    try {
      return lockIfFree(openDirectory(path), path);
    } catch (error) {
      if (!hasErrno(error, "ENOENT")) throw error;
      this.#records.forget(directory);
      return undefined;
    }
  }

  /** As `#lockDirectory`; undefined where the directory has gone, or was never made. */
  async #lockIfThere(directory: string): Promise<Disposable | undefined> {
    try {
      return await this.#lockDirectory(directory);
    } catch (error) {
      if (hasErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  async #lockDirectory(directory: string): Promise<Disposable> {
    const path = join(this.#backend.root, directory);
    return waitForLock(openDirectory(path), "exclusive", path);
  }
}

const longestPause = 16;

function lockIfFree(fd: number, path: string): Disposable | undefined {
  if (tryLock(fd, "exclusive", path)) return { [Symbol.dispose]: () => closeLockFile(fd) };
  closeLockFile(fd);
  return undefined;
}

async function waitForLock(fd: number, mode: "shared" | "exclusive", path: string): Promise<Disposable> {
  try {
    for (let pause = 1; !tryLock(fd, mode, path); pause = Math.min(pause * 2, longestPause)) {
      await Bun.sleep(pause);
    }
  } catch (error) {
    closeFile(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => closeFile(fd) };
}

function directoriesIn(path: string): string[] {
  const fd = openDirectory(path);
  try {
    return readDirectory(fd)
      .map((entry) => entry.name)
      .filter((name) => name !== "lock");
  } finally {
    closeFile(fd);
  }
}
