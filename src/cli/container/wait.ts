import { atLeastOne, type Command, CommandError } from "../command.ts";
import { eachTarget } from "../failures.ts";

export const wait: Command = {
  synopsis: "CONTAINER [CONTAINER...]",
  summary: "Block until one or more containers stop, then print their exit codes",
  count: atLeastOne,
  examples: ["wait web"],
  define: () => async (invocation) => {
    const { containers } = await invocation.engine();
    return await eachTarget(invocation, async (name) => {
      const { StatusCode, Error: failure } = await (await containers.wait(name)).result;
      if (failure !== undefined && failure !== null) throw new CommandError(failure.Message);
      await invocation.io.stdout.write(`${StatusCode}\n`);
    });
  },
};
