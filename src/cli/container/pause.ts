import { atLeastOne, type Command } from "../command.ts";
import { eachTarget } from "../failures.ts";

export const pause: Command = {
  synopsis: "CONTAINER [CONTAINER...]",
  summary: "Pause all processes within one or more containers",
  count: atLeastOne,
  examples: ["pause web"],
  define: () => async (invocation) => {
    const { containers } = await invocation.engine();
    return await eachTarget(invocation, async (name) => {
      await containers.pause(name);
      await invocation.io.stdout.write(`${name}\n`);
    });
  },
};

export const unpause: Command = {
  synopsis: "CONTAINER [CONTAINER...]",
  summary: "Unpause all processes within one or more containers",
  count: atLeastOne,
  examples: ["unpause web"],
  define: () => async (invocation) => {
    const { containers } = await invocation.engine();
    return await eachTarget(invocation, async (name) => {
      await containers.unpause(name);
      await invocation.io.stdout.write(`${name}\n`);
    });
  },
};
