import { type Command, exactly } from "../command.ts";

export const tag: Command = {
  synopsis: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  summary: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  count: exactly(2),
  examples: ["tag busybox:latest registry.example.com/tools/busybox:1"],
  define:
    () =>
    async ({ args: [source = "", target = ""], engine }) => {
      await (await engine()).images.tag(source, target);
      return 0;
    },
};
