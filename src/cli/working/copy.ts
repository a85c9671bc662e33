import { resolve } from "../../core/paths.ts";
import { workingContainersOf } from "../../engine/working.ts";
import { readFileSync } from "../../linux/files.ts";
import type { Command } from "../command.ts";
import { fileFailure } from "../files.ts";
import { asBuildah, failure, readingContainer } from "./failures.ts";
import { accepted, historyFlag } from "./flags.ts";
import { interruptible } from "./shown.ts";

export const copy = copying({
  verb: "copy",
  unpack: false,
  summary: "Copy content into a working container",
  description: "Copy files, directories or what URLs lead to into a working container",
});

export const add = copying({
  verb: "add",
  unpack: true,
  summary: "Add content to a working container",
  description:
    "Add files, directories or what URLs lead to to a working container; local archives are unpacked",
});

interface Variant {
  readonly verb: string;
  readonly unpack: boolean;
  readonly summary: string;
  readonly description: string;
}

function copying({ verb, unpack, summary, description }: Variant): Command {
  return {
    synopsis: "[OPTIONS] CONTAINER SOURCE [SOURCE...] [DESTINATION]",
    summary,
    description,
    count: { least: 0 },
    examples: [`${verb} site-working-container index.html /srv/www/`],
    define(flags) {
      const history = historyFlag(flags);
      const chmod = flags.string("chmod", "Set the access permissions of the destination content");
      const chown = flags.string("chown", "Set the user and group ownership of the destination content");
      const contextDir = flags.string("contextdir", "Context directory path, which sources cannot leave");
      const from = flags.string(
        "from",
        "Use the specified container's or image's root directory as the source",
      );
      const ignoreFile = flags.string("ignorefile", "Path to .containerignore file");
      const quiet = flags.bool("quiet", "Don't output a digest of the newly-added/copied content", {
        short: "q",
      });
      accepted(flags, { strings: ["retry", "retry-delay"] });
      return asBuildah(async (invocation) => {
        const { io, args } = invocation;
        const [name, first, ...rest] = args;
        if (name === undefined) throw failure("container ID must be specified");
        if (first === undefined) throw failure("src must be specified");
        const destination = rest.pop();
        if (ignoreFile.value !== "" && contextDir.value === "") {
          throw failure("--ignorefile option requires that you specify a context dir using --contextdir");
        }
        const working = workingContainersOf(await invocation.engine());
        const digest = await interruptible(io, (signal) =>
          readingContainer(name, () =>
            working.copy(name, {
              sources: [first, ...rest],
              destination: destination ?? "",
              unpack,
              currentDirectory: io.cwd,
              ...(from.value === "" ? {} : { from: from.value }),
              ...(contextDir.value === "" ? {} : { contextDirectory: resolve(io.cwd, contextDir.value) }),
              ...(ignoreFile.value === "" ? {} : { ignore: linesOf(resolve(io.cwd, ignoreFile.value)) }),
              chown: chown.value,
              chmod: chmod.value,
              addHistory: history(invocation),
              withoutDigest: quiet.value,
              signal,
            }),
          ),
        );
        if (!quiet.value) await io.stdout.write(`${digest}\n`);
        return 0;
      });
    },
  };
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch (error) {
    throw failure(fileFailure(error, "open", path).message);
  }
}
