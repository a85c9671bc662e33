import { NotFound } from "../../core/errors.ts";
import { describeFailure } from "../cli.ts";
import { atLeastOne, type Command } from "../command.ts";
import { normalPlatform, platformsFlag } from "../options/platform.ts";

export const remove: Command = {
  synopsis: "[OPTIONS] IMAGE [IMAGE...]",
  summary: "Remove one or more images",
  count: atLeastOne,
  examples: ["rmi busybox:1.36", "rmi $(davit images -q --filter dangling=true)"],
  define(flags) {
    const force = flags.bool("force", "Force removal of the image", { short: "f" });
    const noPrune = flags.bool("no-prune", "Do not delete untagged parents");
    const platforms = platformsFlag(flags, "Remove only the given platform variant");
    return async ({ args, engine, io }) => {
      const wanted = platforms.value.flatMap((platform) => normalPlatform(platform, "") ?? []);
      const { images } = await engine();
      let status = 0;
      for (const reference of args) {
        try {
          const removed = await images.remove(reference, {
            force: force.value,
            noPrune: noPrune.value,
            ...(wanted.length === 0 ? {} : { platforms: wanted }),
          });
          const lines = removed.map((item) =>
            "Deleted" in item ? `Deleted: ${item.Deleted}\n` : `Untagged: ${item.Untagged}\n`,
          );
          await io.stdout.write(lines.join(""));
        } catch (error) {
          await io.stderr.write(`${describeFailure(error)}\n`);
          if (!(force.value && error instanceof NotFound)) status = 1;
        }
      }
      return status;
    };
  },
};
