/** A directory tree as a tar: for `export`, and as the base of a layer diff. */

export interface TreeOptions {
  /** Only below this path inside root (`docker cp`): absolute, resolved inside root. */
  signal?: AbortSignal;
}

/**
 * The whole tree below `root`, sorted by name, as tar chunks: hard links, xattrs, nanosecond times, devices and
 * sparse files kept; sockets left out as Docker does. Other file systems mounted below `root` are not entered.
 */
export declare function treeTar(root: string, options?: TreeOptions): AsyncGenerator<Uint8Array>;
