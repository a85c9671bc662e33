/** The end of this process. */
import { symbols } from "./libc.ts";

/**
 * Ends the process at once: no exit handlers, no closing of databases. davit must survive a SIGKILL at any moment,
 * so it needs no farewell either; SQLite's would cost a checkpoint with its fsyncs at the end of every command.
 * Everything written to stdout and stderr must be out already.
 */
export function exitNow(code: number): never {
  symbols._exit(code);
  throw new Error("unreachable: _exit returned");
}
