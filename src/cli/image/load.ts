import { DavitError } from "../../core/errors.ts";
import { resolve } from "../../core/paths.ts";
import type { ByteStream, LocalFileStream, ProgressMessage } from "../../engine/engine.ts";
import { existsSync, statSync } from "../../linux/files.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import { fileFailure } from "../files.ts";
import type { Io } from "../io.ts";
import { normalPlatform, platformFlag } from "../options/platform.ts";
import { counted } from "../progress/counter.ts";
import { type ProgressDisplay, progressDisplay, showAll } from "../progress/display.ts";

export const load: Command = {
  synopsis: "[OPTIONS]",
  summary: "Load an image from a tar archive or STDIN",
  count: noArguments,
  examples: ["load -i image.tar", "load < image.tar.gz"],
  define(flags) {
    const input = flags.string("input", "Read from tar archive file, instead of STDIN", { short: "i" });
    const platform = platformFlag(flags, "Load only the given platform variant");
    const quiet = flags.bool("quiet", "Suppress the load output", { short: "q" });
    return async ({ engine, io }) => {
      const display = progressDisplay(io, io.stdout);
      const archive =
        input.value === ""
          ? counted(io, display, "Loading", standardInput(io))
          : archiveFile(io, input.value, display);
      const wanted = normalPlatform(platform.value);
      const { images } = await engine();
      const messages = images.load(archive, {
        quiet: quiet.value,
        ...(wanted === undefined ? {} : { platforms: [wanted] }),
      });
      await showAll(display, withoutPrefix(messages));
      return 0;
    };
  },
};

function standardInput(io: Io): ByteStream {
  if (io.stdin.isTerminal) throw new CommandError("requested load from stdin, but stdin is empty");
  return io.stdin.chunks();
}

/** A regular file also by its path, so that an engine here need not have it streamed. */
function archiveFile(io: Io, name: string, display: ProgressDisplay): ByteStream | LocalFileStream {
  const stream = counted(io, display, "Loading", openArchive(io, name));
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

/** What goes wrong with an archive is said as it is: docker hears of it within the progress. */
export async function* withoutPrefix(
  messages: AsyncIterable<ProgressMessage>,
): AsyncGenerator<ProgressMessage> {
  try {
    yield* messages;
  } catch (error) {
    if (error instanceof DavitError && !["unavailable", "notImplemented"].includes(error.kind)) {
      throw new CommandError(error.message);
    }
    throw error;
  }
}
