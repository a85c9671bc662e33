import { collectRegistry } from "../../registry/server/collect-root.ts";
import { type Command, noArguments } from "../command.ts";
import { humanSize } from "../format/units.ts";
import { rootFlag, rootOf } from "./root.ts";

export const collect: Command = {
  synopsis: "[OPTIONS]",
  summary: "Remove what no image of a registry needs any more",
  count: noArguments,
  examples: ["registry gc --root /srv/registry", "registry gc --root /srv/registry --remove-untagged"],
  define(flags) {
    const root = rootFlag(flags);
    const removeUntagged = flags.bool("remove-untagged", "Remove manifests that have no tag, too", {
      short: "m",
    });
    return async ({ io }) => {
      const report = await collectRegistry(rootOf(root, io), { removeUntagged: removeUntagged.value });
      await io.stdout.write(
        `Removed ${report.manifests} manifests and ${report.blobs} blobs, ${humanSize(report.bytes)}\n`,
      );
      return 0;
    };
  },
};
