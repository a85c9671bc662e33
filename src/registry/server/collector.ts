/** Collects garbage from time to time while the registry serves. */
import { messageOf } from "../../core/errors.ts";
import { collectGarbage } from "./collect.ts";
import type { Storage } from "./storage/open.ts";

export interface CollectorOptions {
  /** Milliseconds; 0 for never. */
  every: number;
  /** Milliseconds without progress after which an upload is given up. */
  uploadLife: number;
  removeUntagged: boolean;
  /** Milliseconds; 0 for ever. */
  keepCached: number;
  warn: (message: string) => void;
}

export interface Collector {
  stop(): void;
}

export function startCollector(storage: Storage, options: CollectorOptions): Collector {
  const stopping = new AbortController();
  const collect = async () => {
    try {
      storage.uploads.expire(Date.now() - options.uploadLife);
      await collectGarbage(storage.records, storage.files, {
        removeUntagged: options.removeUntagged,
        signal: stopping.signal,
        ...(options.keepCached === 0 ? {} : { unusedSince: Date.now() - options.keepCached }),
      });
    } catch (error) {
      options.warn(`garbage collection failed: ${messageOf(error)}`);
    }
    plan();
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const plan = () => {
    if (options.every === 0 || stopping.signal.aborted) return;
    timer = setTimeout(collect, options.every);
    timer.unref();
  };
  plan();
  return {
    stop: () => {
      stopping.abort();
      clearTimeout(timer);
    },
  };
}
