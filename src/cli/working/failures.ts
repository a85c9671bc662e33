/** Buildah's way to tell what went wrong: `Error: …` and exit status 125. */
import { DavitError, NotFound } from "../../core/errors.ts";
import { type Action, CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { TransferFailure } from "../progress/display.ts";

const exitCode = 125;

/** A failure of the command, in Buildah's words. */
export function failure(message: string): CommandError {
  return new CommandError(`Error: ${message}`, exitCode);
}

/** What an engine says, told as Buildah does. */
export function asBuildah(act: Action): Action {
  return async (invocation) => {
    try {
      return await act(invocation);
    } catch (error) {
      const isTold = error instanceof DavitError || error instanceof TransferFailure;
      throw isTold ? failure(error.message) : error;
    }
  };
}

/** What a container is wanted for, where there is none of that name. */
export async function namingContainer<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof NotFound && error.message === "container not known") {
      throw failure(`${what}: ${error.message}`);
    }
    throw error;
  }
}

/** `reading build container "x": …` */
export function readingContainer<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  return namingContainer(`reading build container ${JSON.stringify(name)}`, work);
}

/** As the library that Buildah logs with writes it where there is no terminal. */
export async function warn({ stderr, now }: Io, message: string): Promise<void> {
  const time = new Date(now()).toISOString().replace(/\.\d+Z$/, "Z");
  await stderr.write(`time="${time}" level=warning msg=${JSON.stringify(message)}\n`);
}

/** @throws CommandError for none, or more than one */
export function oneContainer(args: readonly string[]): string {
  const [name, ...more] = args;
  if (name === undefined) throw failure("container ID must be specified");
  if (more.length > 0) throw failure("too many arguments specified");
  return name;
}
