/** The failure of a cache elsewhere. In a file of its own: most builds have no such cache. */
import { DavitError, messageOf } from "../../../core/errors.ts";

/** A cache could not give what it has promised: the build goes on without it. */
export class CacheBroken extends DavitError {
  /** As the user has named it. */
  readonly source: string;

  constructor(source: string, cause: unknown) {
    super("unavailable", `cache ${source}: ${messageOf(cause)}`, { cause });
    this.source = source;
  }
}
