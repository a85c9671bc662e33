import { canonicalForm, withDefaultTag } from "../../engine/references.ts";
import type { Command } from "../command.ts";
import { copyShown } from "../image/copy.ts";
import { normalPlatform, platformFlag } from "../options/platform.ts";
import { namedReference } from "../options/references.ts";
import { progressDisplay, quietDisplay, showAll } from "../progress/display.ts";
import { asBuildah, failure } from "./failures.ts";
import { accepted, isElsewhere, needsAccess, reachFlags, withoutTransport } from "./flags.ts";

export const pull: Command = {
  synopsis: "[OPTIONS] IMAGE",
  summary: "Pull an image from a registry, and print its ID",
  count: { least: 0 },
  examples: ["buildah pull -q registry.example.com/web:1"],
  define(flags) {
    const platform = platformFlag(flags, "Pull the image for the platform");
    const quiet = flags.bool("quiet", "Don't output progress information when pulling images", {
      short: "q",
    });
    accepted(flags, { strings: ["policy"] });
    const reach = reachFlags(flags);
    return asBuildah(async (invocation) => {
      const { args, io, engine } = invocation;
      const [image, ...more] = args;
      if (image === undefined) throw failure("an image name must be specified");
      if (more.length > 0) throw failure("too many arguments specified");
      if (isElsewhere(image)) throw failure(`${image}: 'davit image copy ${image} NAME' brings it here`);
      const reference = withDefaultTag(namedReference(withoutTransport(image)));
      const name = canonicalForm(reference);
      const wanted = normalPlatform(platform.value);
      const choice = wanted === undefined ? {} : { platform: wanted };
      const { credentials, ...access } = reach(invocation, image);
      const { images } = await engine();
      const display = quiet.value ? quietDisplay : progressDisplay(io, io.stderr);
      if (needsAccess(access)) {
        await copyShown(
          invocation,
          { from: `docker://${name}`, to: `davit:${name}`, ...choice },
          { ...access, ...(credentials === undefined ? {} : { credentials }) },
          display,
        );
      } else {
        const auth = await credentials?.(reference.domain);
        await showAll(display, images.pull(name, { ...choice, ...(auth === undefined ? {} : { auth }) }));
      }
      const { Id } = await images.inspect(name);
      await io.stdout.write(`${Id.replace("sha256:", "")}\n`);
      return 0;
    });
  },
};
