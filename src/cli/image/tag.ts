import { messageOf } from "../../core/errors.ts";
import { type Command, CommandError, exactly } from "../command.ts";
import { BadValue } from "../flags/values.ts";
import { checkReference } from "../options/references.ts";

export const tag: Command = {
  synopsis: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  summary: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  count: exactly(2),
  examples: ["tag busybox:latest registry.example.com/tools/busybox:1"],
  define:
    () =>
    async ({ args: [source = "", target = ""], engine }) => {
      checkName(source);
      checkName(target);
      await (await engine()).images.tag(source, target);
      return 0;
    },
};

/** @throws CommandError in Docker's words */
function checkName(reference: string): void {
  try {
    checkReference(reference);
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    throw new CommandError(
      `Error parsing reference: "${reference}" is not a valid repository/tag: ${messageOf(error)}`,
    );
  }
}
