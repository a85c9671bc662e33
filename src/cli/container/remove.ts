import { NotFound } from "../../core/errors.ts";
import type { Engine } from "../../engine/engine.ts";
import { workingContainersOf } from "../../engine/working.ts";
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
      const engine = await invocation.engine();
      const { containers } = engine;
      return await eachTarget(invocation, async (word) => {
        const name = word.replace(/^\/+|\/+$/g, "");
        if (name === "") throw new CommandError("Container name cannot be empty");
        try {
          await containers.remove(name, { force: force.value, link: link.value, volumes: volumes.value });
        } catch (error) {
          if (error instanceof NotFound && (await removedWorking(engine, name))) {
            await io.stdout.write(`${word}\n`);
            return;
          }
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

/** Of what is no container, a working container may have the name. */
async function removedWorking(engine: Engine, name: string): Promise<boolean> {
  const { isWorkingContainer } = await import("../working/instead.ts");
  if (!(await isWorkingContainer(engine, name))) return false;
  await workingContainersOf(engine).remove(name);
  return true;
}
