import { workingContainersOf } from "../../engine/working.ts";
import type { Command } from "../command.ts";
import { asBuildah, failure, namingContainer } from "./failures.ts";

export const remove: Command = {
  synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Remove one or more working containers",
  count: { least: 0 },
  examples: ["buildah rm busybox-working-container", "buildah rm --all"],
  define(flags) {
    const all = flags.bool("all", "Remove all working containers", { short: "a" });
    return asBuildah(async ({ args, io, engine }) => {
      if (all.value && args.length > 0) {
        throw failure("when using the --all switch, you may not pass any containers names or IDs");
      }
      if (!all.value && args.length === 0) throw failure("container ID must be specified");
      const working = workingContainersOf(await engine());
      const names = all.value ? (await working.list()).map(({ id }) => id) : args;
      let last: unknown;
      for (const name of names) {
        try {
          const what = `removing container ${JSON.stringify(name)}`;
          await io.stdout.write(`${await namingContainer(what, () => working.remove(name))}\n`);
        } catch (error) {
          // The others are to go all the same.
          if (last instanceof Error) await io.stderr.write(`${last.message}\n`);
          last = error;
        }
      }
      if (last !== undefined) throw last;
      return 0;
    });
  },
};
