import type { PushOptions } from "../../engine/engine.ts";
import { canonicalForm } from "../../engine/references.ts";
import { authOption } from "../account/credentials.ts";
import { type Command, CommandError, exactly } from "../command.ts";
import { printNote } from "../note.ts";
import { normalPlatform } from "../options/platform.ts";
import { namedReference } from "../options/references.ts";
import { trustFlag } from "../options/trust.ts";
import { progressDisplay, quietDisplay, showAll } from "../progress/display.ts";
import { aboutTag, chooseTag } from "./pull.ts";

const platformNote = `Using --platform pushes only the specified platform manifest of a multi-platform image index.
Other components, like attestations, will not be included.
To push the complete multi-platform image, remove the --platform flag.
`;

export const push: Command = {
  synopsis: "[OPTIONS] NAME[:TAG]",
  summary: "Upload an image to a registry",
  count: exactly(1),
  examples: ["push registry.example.com/tools/build:1", "push -a localhost:5000/web"],
  define(flags) {
    const all = flags.bool("all-tags", "Push all tags of an image to the repository", { short: "a" });
    trustFlag(flags, "Skip image signing");
    const platform = flags.string(
      "platform",
      `Push a platform-specific manifest as a single-platform image to the registry.
Image index won't be pushed, meaning that other manifests, including attestations won't be preserved.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)`,
    );
    const quiet = flags.bool("quiet", "Suppress verbose output", { short: "q" });
    return async (invocation) => {
      const { args, engine, io } = invocation;
      const given = namedReference(args[0] ?? "");
      const name = chooseTag(given, all.value);
      if (name.digest !== undefined) throw new CommandError("cannot push a digest reference");
      const wanted = normalPlatform(platform.value, `Invalid platform ${platform.value}`);
      const { domain, path, tag } = name;
      const opening = engine({
        registry: { domain, ...(tag === undefined ? {} : { first: { path, tag } }) },
      });
      const options: PushOptions = {
        all: all.value,
        ...(wanted === undefined ? {} : { platform: wanted }),
        ...(await authOption(invocation, canonicalForm(name))),
      };
      const { images } = await opening;
      const messages = images.push(canonicalForm(name), options);
      if (wanted !== undefined) await printNote(io, io.stdout, platformNote);
      if (!quiet.value) await io.stdout.write(aboutTag(given, name));
      await showAll(quiet.value ? quietDisplay : progressDisplay(io, io.stdout), messages);
      if (quiet.value) await io.stdout.write(`${canonicalForm(name)}\n`);
      return 0;
    };
  },
};
