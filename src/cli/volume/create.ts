import { type Command, CommandError } from "../command.ts";
import { checkLabel, toMap } from "../options/key-values.ts";

export const create: Command = {
  synopsis: "[OPTIONS] [VOLUME]",
  summary: "Create a volume",
  count: { least: 0, most: 1 },
  examples: ["volume create data", "volume create -o type=tmpfs -o device=tmpfs -o o=size=10m scratch"],
  define(flags) {
    const driver = flags.string("driver", "Specify volume driver name", { short: "d", initial: "local" });
    const label = flags.list("label", "Set metadata for a volume", { parse: checkLabel });
    const name = flags.string("name", "Specify volume name", { hidden: true });
    const options = flags.list("opt", "Set driver specific options", {
      short: "o",
      kind: "map",
      shownDefault: "map[]",
    });
    for (const cluster of [
      "availability",
      "group",
      "limit-bytes",
      "required-bytes",
      "scope",
      "secret",
      "sharing",
      "topology-preferred",
      "topology-required",
      "type",
    ]) {
      flags.string(cluster, "For cluster volumes", { unsupported: true });
    }
    return async ({ args: [given], engine, io }) => {
      if (given !== undefined && name.value !== "") {
        throw new CommandError(
          "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
        );
      }
      const volume = await (await engine()).volumes.create({
        Name: given ?? name.value,
        Driver: driver.value,
        DriverOpts: toMap(options.value),
        Labels: toMap(label.value),
      });
      await io.stdout.write(`${volume.Name}\n`);
      return 0;
    };
  },
};
