/** How failures of commands are told, where it is not as `cli.ts` does it. */
import { DavitError } from "../core/errors.ts";
import { describeFailure } from "./cli.ts";
import { CommandError, ExitStatus, type Invocation } from "./command.ts";

/** Does `work` for each target in turn, and goes on after a failure, which is printed. @returns the exit status */
export async function eachTarget(
  { args, io }: Invocation,
  work: (target: string) => Promise<void>,
): Promise<number> {
  let status = 0;
  for (const target of args) {
    try {
      await work(target);
    } catch (error) {
      if (error instanceof ExitStatus) return error.exitCode;
      await io.stderr.write(`${describeFailure(error)}\n`);
      status = 1;
    }
  }
  return status;
}

/** Does what the command does itself. @throws CommandError where an engine's error would carry its prefix */
export async function plainly<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof DavitError ? new CommandError(error.message) : error;
  }
}
