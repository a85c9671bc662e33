/** Begins the keys of snapshots that were set aside; to be removed when nothing stands on them any more. */
export const asidePrefix = "aside-";

/**
 * A Snapshotter keeps file system trees: stacks of committed layers, shared and read-only, and writable
 * snapshots on top of them.
 *
 *     prepare(key, parent) ─▶ active ──mount()──▶ a directory to run in or to unpack a layer into
 *                                │ ──commit(name)──▶ committed: never changes again, may be a parent
 *                                └ ──remove(key)──▶ gone
 *
 * Contract, checked by the conformance suite in `test/storage`:
 * - Names and keys share one space per state; a committed name is a chain ID, an active key is the caller's own.
 * - `prepare` with an unknown parent throws NotFound; with a key that is taken throws Conflict.
 * - `mount` is idempotent; after it the directory shows the whole tree. `unmount` is idempotent too.
 * - `commit` of a name that exists already throws Conflict and leaves the active snapshot as it was.
 * - `remove` of a snapshot that is some other's parent throws Conflict. Removing what is not there is no error.
 * - Nothing that one active snapshot writes is seen by another, or in its parent.
 * - A crash at any moment leaves nothing that `sweep` does not find.
 */
export interface Snapshotter {
  /** `overlay2`, `vfs`, `btrfs`. */
  readonly driver: string;
  /** Makes a writable snapshot on `parent` (a committed name), or an empty one. */
  prepare(key: string, parent: string | undefined): Promise<void>;
  /**
   * Mounts an active snapshot and returns the absolute path of its root.
   * `volatile`: what it holds need not survive a power cut (containers with --rm, build steps).
   * @throws Conflict for a committed one: it never changes again, so that others can stand on it.
   */
  mount(key: string, options?: { volatile?: boolean }): Promise<string>;
  unmount(key: string): Promise<void>;
  /** Where the root of a snapshot is, or would be, mounted. Mounts nothing. @throws NotFound */
  mountPath(key: string): string;
  /**
   * The directory that a layer's tar is unpacked into (for an active snapshot) or its diff is read from (for any),
   * without a mount: for overlay2 the upper directory with whiteouts as overlay keeps them; for others the whole
   * tree.
   */
  layerTarget(key: string): Promise<LayerTarget>;
  /** Freezes an active snapshot under `name`, unmounting it if need be. Durable only after `sync`. */
  commit(key: string, name: string): Promise<void>;
  /**
   * Commits an active snapshot in the place of the committed `name`, which is damaged: what stands on that stands on
   * the new one from now on. @throws Conflict while a mounted snapshot uses the old one's files.
   */
  replace(key: string, name: string): Promise<void>;
  /**
   * Takes the name of a committed snapshot away, so that another may have it. What stands on it goes on doing so.
   * @returns its new key, which begins with `asidePrefix`.
   */
  setAside(name: string): Promise<string>;
  remove(key: string): Promise<void>;
  /**
   * As `remove`, but its files go later, with `collect`: for where somebody waits. The key is free at once.
   */
  condemn(key: string): Promise<void>;
  /** Removes the files of condemned snapshots. Several processes may do it at once. */
  collect(): Promise<void>;
  /** What one snapshot adds to its parent. */
  usage(key: string): Promise<{ bytes: number; inodes: number }>;
  /** Absolute paths for `docker inspect`'s GraphDriver.Data. */
  describe(key: string): Promise<Record<string, string>>;
  /** What the driver is and can do here, for `docker info`'s DriverStatus: names and values. */
  describeDriver(): [string, string][];
  has(key: string): Promise<boolean>;
  list(): Promise<SnapshotInfo[]>;
  /** Names of directories that no record knows: what a crash left, and `sweep` removes. */
  orphans(): Promise<string[]>;
  /** Why a snapshot that should be there cannot be used: without a record, or without its files; else undefined. */
  problemOf(key: string): string | undefined;
  /** Everything committed so far survives a power cut when this returns: one syncfs for all of it. */
  sync(): Promise<void>;
  /** Removes what a crash left: half-made and half-removed snapshots, stale mounts. `isUsed` tells live active keys. */
  sweep(isUsed: (info: SnapshotInfo) => boolean): Promise<void>;
}

export interface SnapshotInfo {
  key: string;
  state: "active" | "committed";
  parent: string | undefined;
}

/** Where a layer is unpacked to, and where it is read back from as a diff. */
export interface LayerTarget {
  path: string;
  /** How a deletion is written: as overlay's 0/0 device and `trusted.overlay.opaque`, or by deleting. */
  whiteouts: "overlay" | "delete";
  /**
   * The trees below, topmost first: for overlay every lower layer's directory, for others the parent's whole
   * tree. Directories that a layer implies but does not name take mode and owner from here; a diff is against them.
   */
  lower?: readonly string[];
}
