import { describeFailure } from "../cli.ts";
import { type Command, CommandError, exactly } from "../command.ts";

export const rename: Command = {
  synopsis: "CONTAINER NEW_NAME",
  summary: "Rename a container",
  count: exactly(2),
  examples: ["rename hopeful_lamarr web"],
  define:
    () =>
    async ({ args: [name = "", target = ""], engine, io }) => {
      if (name.trim() === "" || target.trim() === "") {
        throw new CommandError("Error: Neither old nor new names may be empty");
      }
      try {
        await (await engine()).containers.rename(name, target);
      } catch (error) {
        await io.stderr.write(`${describeFailure(error)}\n`);
        throw new CommandError(`Error: failed to rename container named ${name}`);
      }
      return 0;
    },
};
