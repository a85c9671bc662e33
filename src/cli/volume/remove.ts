import { atLeastOne, type Command } from "../command.ts";
import { eachTarget } from "../failures.ts";

export const remove: Command = {
  synopsis: "[OPTIONS] VOLUME [VOLUME...]",
  summary: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
  count: atLeastOne,
  examples: ["volume rm data"],
  define(flags) {
    const force = flags.bool("force", "Force the removal of one or more volumes", { short: "f" });
    return async (invocation) => {
      const { volumes } = await invocation.engine();
      return await eachTarget(invocation, async (name) => {
        await volumes.remove(name, { force: force.value });
        await invocation.io.stdout.write(`${name}\n`);
      });
    };
  },
};
