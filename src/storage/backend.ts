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
  /** Idempotent. @returns the root of the tree, as `rootPath` gives it. */
  mount(directory: string, lower: readonly string[], options: { volatile: boolean }): string;
  unmount(directory: string): void;
  rootPath(directory: string): string;
  target(directory: string, lower: readonly string[]): LayerTarget;
  usage(directory: string, lower: readonly string[]): { bytes: number; inodes: number };
  describe(directory: string, lower: readonly string[]): Record<string, string>;
}
