/** Commands that take several targets go on after a failure, print each, and end with status 1. */
import { describeFailure } from "./cli.ts";
import { ExitStatus, type Invocation } from "./command.ts";

/** Does `work` for each target in turn and prints what fails. @returns the exit status */
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
