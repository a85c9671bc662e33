import { type Command, exactly } from "../command.ts";
import { withPlaces } from "./places.ts";

export const annotate: Command = {
  synopsis: "[OPTIONS] MANIFEST_LIST MANIFEST",
  summary: "Add additional information to a local image manifest",
  count: exactly(2),
  examples: [
    "manifest annotate --arch arm64 --variant v8 registry.example.com/web:1 registry.example.com/web:1-arm64",
  ],
  define(flags) {
    const architecture = flags.string("arch", "Set architecture");
    const os = flags.string("os", "Set operating system");
    const features = flags.list("os-features", "Set operating system feature", { kind: "strings" });
    const osVersion = flags.string("os-version", "Set operating system version");
    const variant = flags.string("variant", "Set architecture variant");
    return async (invocation) => {
      const [list = "", manifest = ""] = invocation.args;
      const osFeatures = features.value.flatMap((text) => text.split(",")).filter((text) => text !== "");
      await withPlaces(invocation, [], (lists, places) =>
        lists.annotateManifestList(places, list, manifest, {
          ...(architecture.value === "" ? {} : { architecture: architecture.value }),
          ...(os.value === "" ? {} : { os: os.value }),
          ...(osFeatures.length === 0 ? {} : { osFeatures }),
          ...(osVersion.value === "" ? {} : { osVersion: osVersion.value }),
          ...(variant.value === "" ? {} : { variant: variant.value }),
        }),
      );
      return 0;
    };
  },
};
