/** Where a writer puts what nobody is to see yet: a directory or file beside what it is to become. */

import { randomId } from "../../core/ids.ts";
import { join } from "../../core/paths.ts";
import { currentBootId } from "../../linux/boot.ts";
import { namesIn } from "../../linux/directories.ts";
import { rmSync } from "../../linux/files.ts";
import { isAlive, startTimeOf } from "../../linux/processes.ts";

/** Says whose it is, so that the next writer on this machine can tell whether it is still wanted. */
export function stagingName(): string {
  return `.davit-${currentBootId()}.${process.pid}.${startTimeOf(process.pid) ?? 0}.${randomId().slice(0, 8)}`;
}

/** What a killed writer left. Other machines' stay: nobody here knows whether their writers live. */
export function removeDeadStaging(directory: string): void {
  const own = `.davit-${currentBootId()}.`;
  for (const name of namesIn(directory)) {
    if (!name.startsWith(own)) continue;
    const [pid, startTime] = name.slice(own.length).split(".").map(Number);
    if (pid !== undefined && startTime !== undefined && isAlive(pid, startTime)) continue;
    rmSync(join(directory, name), { recursive: true, force: true });
  }
}
