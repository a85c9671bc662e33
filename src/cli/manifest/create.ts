import type { Command } from "../command.ts";
import { withPlaces } from "./places.ts";

export const create: Command = {
  synopsis: "MANIFEST_LIST MANIFEST [MANIFEST...]",
  summary: "Create a local manifest list for annotating and pushing to a registry",
  count: { least: 2 },
  examples: [
    "manifest create registry.example.com/web:1 registry.example.com/web:1-amd64 registry.example.com/web:1-arm64",
  ],
  define(flags) {
    const amend = flags.bool("amend", "Amend an existing manifest list", { short: "a" });
    const insecure = flags.bool("insecure", "Allow communication with an insecure registry");
    return async (invocation) => {
      const [list = "", ...manifests] = invocation.args;
      const open = insecure.value ? invocation.args : [];
      const line = await withPlaces(invocation, open, (lists, places) =>
        lists.createManifestList(places, list, manifests, { amend: amend.value }),
      );
      await invocation.io.stdout.write(`${line}\n`);
      return 0;
    };
  },
};
