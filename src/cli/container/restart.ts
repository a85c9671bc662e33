import { atLeastOne, type Command } from "../command.ts";
import { eachTarget } from "../failures.ts";
import { stopOptions, timeoutFlag } from "./stop.ts";

export const restart: Command = {
  synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Restart one or more containers",
  count: atLeastOne,
  examples: ["restart -t 1 web"],
  define(flags) {
    const signal = flags.string("signal", "Signal to send to the container", { short: "s" });
    const timeout = timeoutFlag(flags);
    return async (invocation) => {
      const { containers } = await invocation.engine();
      return await eachTarget(invocation, async (name) => {
        await containers.restart(name, stopOptions(signal, timeout));
        await invocation.io.stdout.write(`${name}\n`);
      });
    };
  },
};
