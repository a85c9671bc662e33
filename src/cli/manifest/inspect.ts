import type { Command } from "../command.ts";
import { withPlaces } from "./places.ts";

export const inspect: Command = {
  synopsis: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
  summary: "Display an image manifest, or manifest list",
  count: { least: 1, most: 2 },
  examples: ["manifest inspect busybox", "manifest inspect -v registry.example.com/web:1"],
  define(flags) {
    const insecure = flags.bool("insecure", "Allow communication with an insecure registry");
    const verbose = flags.bool("verbose", "Output additional info including layers and platform", {
      short: "v",
    });
    return async (invocation) => {
      const { args, io } = invocation;
      const [first = "", second] = args;
      const [list, manifest] = second === undefined ? [undefined, first] : [first, second];
      const text = await withPlaces(invocation, insecure.value ? args : [], (lists, places) =>
        lists.inspectManifest(places, list, manifest, { verbose: verbose.value }),
      );
      await io.stdout.write(text);
      return 0;
    };
  },
};
