/** When the oldest build at work has begun. What was not used since is used by none. */

import type { ImageStores } from "../../images/collect.ts";
import { statSync } from "../../linux/files.ts";

/** Milliseconds since 1970; Infinity when nobody is at work. Each build has a session; those of pulls do no harm. */
export function oldestWork({ content }: Pick<ImageStores, "content">): number {
  const begun = content
    .liveSessions()
    .map(
      (directory) => statSync(directory, { throwIfNoEntry: false })?.birthtimeMs ?? Number.POSITIVE_INFINITY,
    );
  return Math.min(Number.POSITIVE_INFINITY, ...begun);
}
