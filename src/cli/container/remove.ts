import { NotFound } from "../../core/errors.ts";
import { describeFailure } from "../cli.ts";
import { atLeastOne, type Command, CommandError } from "../command.ts";
import { eachTarget } from "../failures.ts";

export const remove: Command = {
  synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Remove one or more containers",
  count: atLeastOne,
  examples: ["rm web", "rm -f -v web"],
  define(flags) {
    const force = flags.bool("force", "Force the removal of a running container (uses SIGKILL)", {
      short: "f",
    });
    const link = flags.bool("link", "Remove the specified link", { short: "l" });
    const volumes = flags.bool("volumes", "Remove anonymous volumes associated with the container", {
      short: "v",
    });
    return async (invocation) => {
      const { io } = invocation;
      const { containers } = await invocation.engine();
      return await eachTarget(invocation, async (word) => {
        const name = word.replace(/^\/+|\/+$/g, "");
        if (name === "") throw new CommandError("Container name cannot be empty");
        try {
          await containers.remove(name, { force: force.value, link: link.value, volumes: volumes.value });
        } catch (error) {
          // With --force the container is to be gone, and it is.
          if (!(force.value && error instanceof NotFound)) throw error;
          await io.stderr.write(`${describeFailure(error)}\n`);
          return;
        }
        await io.stdout.write(`${word}\n`);
      });
    };
  },
};
