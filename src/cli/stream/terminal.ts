/** Our own terminal as a container's. */
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";

/** @throws CommandError when a terminal is wanted and our stdin is none */
export function checkTerminal(io: Io, stdin: boolean, tty: boolean): void {
  if (stdin && tty && !io.stdin.isTerminal) throw new CommandError("the input device is not a TTY");
}
