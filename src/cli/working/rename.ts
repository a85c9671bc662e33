import { workingContainersOf } from "../../engine/working.ts";
import type { Command } from "../command.ts";
import { asBuildah, failure, readingContainer } from "./failures.ts";

export const rename: Command = {
  synopsis: "CONTAINER NEW-NAME",
  summary: "Rename a working container",
  count: { least: 0 },
  examples: ["buildah rename busybox-working-container base"],
  define() {
    return asBuildah(async ({ args, engine }) => {
      const [name, wanted] = args;
      if (name === undefined || wanted === undefined || args.length > 2) {
        throw failure(`accepts 2 arg(s), received ${args.length}`);
      }
      const working = workingContainersOf(await engine());
      await readingContainer(name, () => working.rename(name, wanted));
      return 0;
    });
  },
};
