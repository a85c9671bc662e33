import { atLeastOne, type Command } from "../command.ts";
import { eachTarget } from "../failures.ts";

export const kill: Command = {
  synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Kill one or more running containers",
  count: atLeastOne,
  examples: ["kill web", "kill -s HUP web"],
  define(flags) {
    const signal = flags.string("signal", "Signal to send to the container", { short: "s" });
    return async (invocation) => {
      const { containers } = await invocation.engine();
      return await eachTarget(invocation, async (name) => {
        await containers.kill(name, signal.value === "" ? undefined : signal.value);
        await invocation.io.stdout.write(`${name}\n`);
      });
    };
  },
};
