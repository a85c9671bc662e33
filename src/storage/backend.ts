/** What differs between storage drivers: how one snapshot's directory is made, shown and measured. */
import type { LayerTarget } from "./snapshotter.ts";

export interface StorageBackend {
  readonly driver: string;
  /** `<data root>/<driver>`: each snapshot is a directory in it. */
  readonly root: string;
  /**
   * Fills the directory of a fresh snapshot (not there yet).
   * @param lower directories of its ancestors, the parent first.
   */
  create(directory: string, lower: readonly string[]): Promise<void>;
  /** Called when a snapshot has been committed; perhaps again after a crash. */
  freeze(directory: string): void;
  /** Removes the directory with all that is in it, or what is left of it. Nothing is mounted there any more. */
  destroy(directory: string): void;
  /** Idempotent. @returns the root of the tree, as `rootPath` gives it. */
  mount(directory: string, lower: readonly string[], options: { volatile: boolean }): string;
  unmount(directory: string): void;
  /** True while a mount uses the directories of its ancestors. */
  isMounted(directory: string): boolean;
  rootPath(directory: string): string;
  target(directory: string, lower: readonly string[]): LayerTarget;
  usage(directory: string, lower: readonly string[]): { bytes: number; inodes: number };
  describe(directory: string, lower: readonly string[]): Record<string, string>;
  /** Names and values for `docker info`'s DriverStatus. */
  describeDriver(): [string, string][];
}
