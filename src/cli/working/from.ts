import { resolve } from "../../core/paths.ts";
import { type PullPolicy, workingContainersOf } from "../../engine/working.ts";
import { writeFileSync } from "../../linux/files.ts";
import { type Command, CommandError } from "../command.ts";
import { normalPlatform, platformFlag } from "../options/platform.ts";
import { progressDisplay, quietDisplay } from "../progress/display.ts";
import { asBuildah, failure } from "./failures.ts";
import { reachFlags, readFormat } from "./flags.ts";
import { runDefaultFlags } from "./run-defaults.ts";
import { shownBy } from "./shown.ts";

export const from: Command = {
  synopsis: "[OPTIONS] IMAGE | scratch",
  summary: "Create a working container based on an image",
  description:
    "Create a working container, either from scratch or using a specified image as a starting point,\nand print its name",
  count: { least: 0 },
  examples: ["from busybox", "from --name site scratch", "from docker-archive:busybox.tar"],
  define(flags) {
    const cidfile = flags.string("cidfile", "Write the container ID to the file");
    const format = flags.string("format", "Format of the image manifest and metadata", {
      short: "f",
      shownDefault: '"oci"',
    });
    const name = flags.string("name", "Name for the working container");
    const pull = flags.string("pull", 'Pull the image: "always", "newer", "missing" or "never"', {
      bareValue: "true",
      shownDefault: '"missing"',
    });
    const quiet = flags.bool("quiet", "Don't output progress information when pulling images", {
      short: "q",
    });
    const platform = platformFlag(flags, "Set the OS/ARCH/VARIANT of the image");
    const arch = flags.string("arch", "Set the ARCH of the image");
    const os = flags.string("os", "Prefer OS instead of the running OS");
    const variant = flags.string("variant", "Override the variant of the specified image");
    const reach = reachFlags(flags);
    const defaults = runDefaultFlags(flags);
    return asBuildah(async (invocation) => {
      const { io, args } = invocation;
      const [image, ...more] = args;
      if (image === undefined) throw failure('an image name (or "scratch") must be specified');
      if (more.length > 0) throw failure("too many arguments specified");
      const parts = [arch.value === "" ? os.value : os.value || "linux", arch.value, variant.value];
      const wanted = normalPlatform(platform.value || parts.filter((part) => part !== "").join("/"));
      const working = workingContainersOf(await invocation.engine());
      const display = quiet.value ? quietDisplay : progressDisplay(io, io.stderr);
      const container = await shownBy(io, display, (report, signal) =>
        working.from({
          ...reach(invocation, image),
          image,
          name: name.value,
          pull: policyOf(pull.value),
          ...(wanted === undefined ? {} : { platform: wanted }),
          format: readFormat(format.value || io.env.BUILDAH_FORMAT || ""),
          defaults: defaults(),
          report,
          signal,
        }),
      );
      if (cidfile.value !== "") writeFileSync(resolve(io.cwd, cidfile.value), container.id);
      await io.stdout.write(`${container.name}\n`);
      return 0;
    });
  },
};

/** `--pull` alone asks for newer ones; without it what is here will do, so that nobody waits for a registry. */
function policyOf(text: string): PullPolicy {
  switch (text.toLowerCase()) {
    case "":
    case "missing":
    case "ifmissing":
    case "false":
      return "missing";
    case "true":
    case "newer":
    case "ifnewer":
      return "newer";
    case "always":
      return "always";
    case "never":
      return "never";
    default:
      throw new CommandError(`Error: unrecognized pull policy ${JSON.stringify(text)}`, 125);
  }
}
