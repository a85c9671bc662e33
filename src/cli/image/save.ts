import { open } from "node:fs/promises";
import { dirname, resolve } from "../../core/paths.ts";
import type { ByteStream } from "../../engine/engine.ts";
import { existsSync, renameSync, rmSync, statSync } from "../../linux/files.ts";
import { atLeastOne, type Command, CommandError } from "../command.ts";
import { fileFailure } from "../files.ts";
import type { Io } from "../io.ts";
import { normalPlatform, platformFlag } from "../options/platform.ts";
import { counted } from "../progress/counter.ts";
import { progressDisplay } from "../progress/display.ts";

export const save: Command = {
  synopsis: "[OPTIONS] IMAGE [IMAGE...]",
  summary: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  count: atLeastOne,
  examples: ["save -o busybox.tar busybox", "save busybox | gzip > busybox.tar.gz"],
  define(flags) {
    const output = flags.string("output", "Write to a file, instead of STDOUT", { short: "o" });
    const platform = platformFlag(flags, "Save only the given platform variant");
    return async ({ args, engine, io }) => {
      if (output.value === "" && io.stdout.isTerminal) {
        throw new CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect");
      }
      if (output.value !== "") checkOutput(io, output.value);
      const wanted = normalPlatform(platform.value);
      const display = progressDisplay(io, io.stderr);
      const { images } = await engine();
      const stream = images.save([...args], wanted === undefined ? {} : { platforms: [wanted] });
      const archive = counted(io, display, "Saving", stream);
      try {
        if (output.value === "") for await (const chunk of archive) await io.stdout.write(chunk);
        else await writeFile(resolve(io.cwd, output.value), output.value, archive);
      } finally {
        await display.finish();
      }
      return 0;
    };
  },
};

/** @throws CommandError before anything is asked of the engine */
function checkOutput(io: Io, name: string): void {
  const path = resolve(io.cwd, name);
  const directory = dirname(path);
  if (!existsSync(directory)) {
    throw new CommandError(
      `failed to save image: invalid output path: stat ${directory}: no such file or directory`,
    );
  }
  if (existsSync(path) && !statSync(path).isFile()) {
    throw new CommandError(
      `failed to save image: invalid output path: ${JSON.stringify(name)} must be a regular file`,
    );
  }
}

/** Writes beside the file and puts it in place when it is whole. */
async function writeFile(path: string, name: string, archive: ByteStream): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      for await (const chunk of archive) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error instanceof Error && "syscall" in error ? fileFailure(error, "write", name) : error;
  }
}
