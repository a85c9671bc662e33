/**
 * crun does not trust its own file: a container that reaches it through /proc could write to it (CVE-2019-5736). So it
 * copies itself into a sealed memory file and starts once more from there, which costs 2 ms of loading libraries twice.
 * A program that lies in such a file already goes on at once: here the file is made for it, while conmon starts.
 */

import { hasErrno } from "../core/errors.ts";
import { basename } from "../core/paths.ts";
import { closeSync } from "../linux/files.ts";
import { createProgramFile, fillFrom, sealFile } from "../linux/memory-files.ts";
import { moveDescriptor, openReading } from "../linux/paths.ts";
import { isCrun, type OciRuntime } from "./runtimes.ts";

export interface RuntimeProgram extends Disposable {
  /** What to execute; good until disposal. */
  readonly path: string;
  /** To be called before anybody executes it. */
  fill(): void;
}

/**
 * The runtime's program as it starts quickest: in memory and sealed, where it would copy itself there. Until `fill`,
 * and where programs may not lie in memory (crun itself knows other ways), it is the program's own file.
 */
export function programOfRuntime(runtime: OciRuntime): RuntimeProgram {
  if (!isCrun(runtime)) return { path: runtime.path, fill: () => {}, [Symbol.dispose]: () => {} };
  const fd = openReading(runtime.path);
  return {
    path: `/proc/${process.pid}/fd/${fd}`,
    fill: () => {
      const memory = tryCreate(basename(runtime.path));
      if (memory === undefined) return;
      try {
        fillFrom(memory, runtime.path);
        sealFile(memory);
      } catch (error) {
        closeSync(memory);
        throw error;
      }
      moveDescriptor(memory, fd);
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** Undefined where programs may not lie in memory: crun itself knows other ways. */
function tryCreate(name: string): number | undefined {
  try {
    return createProgramFile(name);
  } catch (error) {
    if (hasErrno(error, "EACCES", "EPERM", "ENOSYS", "EINVAL")) return undefined;
    throw error;
  }
}
