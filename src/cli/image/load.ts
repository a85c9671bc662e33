import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { DavitError } from "../../core/errors.ts";
import type { ByteStream, LocalFileStream, ProgressMessage } from "../../engine/engine.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import { fileFailure } from "../files.ts";
import type { Io } from "../io.ts";
import { Progress } from "../progress.ts";

export const load: Command = {
  synopsis: "[OPTIONS]",
  summary: "Load an image from a tar archive or STDIN",
  count: noArguments,
  examples: ["load -i image.tar", "load < image.tar.gz"],
  define(flags) {
    const input = flags.string("input", "Read from tar archive file, instead of STDIN", { short: "i" });
    flags.string("platform", "Load only the given platform variant", { unsupported: true });
    const quiet = flags.bool("quiet", "Suppress the load output", { short: "q" });
    return async ({ engine, io }) => {
      const progress = new Progress(io, "Loading");
      const archive =
        input.value === "" ? progress.count(standardInput(io)) : archiveFile(io, input.value, progress);
      const { images } = await engine();
      await showMessages(io, images.load(archive, { quiet: quiet.value }), progress);
      return 0;
    };
  },
};

function standardInput(io: Io): ByteStream {
  if (io.stdin.isTerminal) throw new CommandError("requested load from stdin, but stdin is empty");
  return io.stdin.chunks();
}

/** A regular file also by its path, so that an engine here need not have it streamed. */
function archiveFile(io: Io, name: string, progress: Progress): ByteStream | LocalFileStream {
  const stream = progress.count(openArchive(io, name));
  const path = resolve(io.cwd, name);
  if (!statSync(path).isFile()) return stream;
  return { path, [Symbol.asyncIterator]: () => stream };
}

/** @throws FileFailure when there is no such file */
export function openArchive(io: Io, name: string): ByteStream {
  const path = resolve(io.cwd, name);
  if (!existsSync(path)) throw fileFailure(Object.assign(new Error(), { code: "ENOENT" }), "open", name);
  return Bun.file(path).stream();
}

/** Prints what the engine says while it works. @throws CommandError with the error that it reports */
export async function showMessages(
  io: Io,
  messages: AsyncIterable<ProgressMessage>,
  progress: Progress,
): Promise<void> {
  for await (const message of withoutPrefix(messages)) {
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) {
      await progress.clear();
      throw new CommandError(failure);
    }
    await progress.report(message);
    const text = message.stream ?? (message.progressDetail === undefined ? line(message) : "");
    if (text === "") continue;
    await progress.clear();
    await io.stdout.write(text);
  }
  await progress.clear();
}

/** What goes wrong with an archive is said as it is: docker hears of it within the progress. */
async function* withoutPrefix(messages: AsyncIterable<ProgressMessage>): AsyncGenerator<ProgressMessage> {
  try {
    yield* messages;
  } catch (error) {
    if (error instanceof DavitError && error.kind !== "unavailable") throw new CommandError(error.message);
    throw error;
  }
}

function line({ id, status }: ProgressMessage): string {
  if (status === undefined) return "";
  return id === undefined || id === "" ? `${status}\n` : `${id}: ${status}\n`;
}
