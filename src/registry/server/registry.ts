/** The parts of an open registry, as its endpoints use them. */
import type { Grant } from "./auth/access.ts";
import type { PullThrough } from "./proxy.ts";
import type { BlobFiles } from "./storage/blob-files.ts";
import type { Records } from "./storage/database.ts";
import type { Store } from "./storage/store.ts";
import type { Uploads } from "./storage/uploads.ts";

export interface Registry {
  readonly records: Records;
  readonly files: BlobFiles;
  readonly store: Store;
  readonly uploads: Uploads;
  /** Set when this registry is a cache of another. */
  readonly upstream: PullThrough | undefined;
}

/** One request on its way through an endpoint. */
export interface Call {
  readonly request: Request;
  readonly query: URLSearchParams;
  readonly grant: Grant;
  /** Bytes of content that the request brought or took, for the log. */
  transferred: number;
  /** The answer is still being made until `done` settles: the connection is not held for nothing. */
  holdUntil(done: Promise<void>): void;
  /** The connection may be silent for so many seconds; 0 for ever, because the endpoint watches by itself. */
  allowSilence(seconds: number): void;
}
