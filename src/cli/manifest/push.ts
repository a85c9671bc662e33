import { type Command, exactly } from "../command.ts";
import { withPlaces } from "./places.ts";

export const push: Command = {
  synopsis: "[OPTIONS] MANIFEST_LIST",
  summary: "Push a manifest list to a repository",
  count: exactly(1),
  examples: ["manifest push --purge registry.example.com/web:1"],
  define(flags) {
    const insecure = flags.bool("insecure", "Allow push to an insecure registry");
    const purge = flags.bool("purge", "Remove the local manifest list after push", { short: "p" });
    return async (invocation) => {
      const { args, io } = invocation;
      const digest = await withPlaces(invocation, insecure.value ? args : [], async (lists, places) => {
        const lines: string[] = [];
        try {
          return await lists.pushManifestList(places, args[0] ?? "", {
            purge: purge.value,
            report: (line) => lines.push(`${line}\n`),
          });
        } finally {
          await io.stdout.write(lines.join(""));
        }
      });
      await io.stdout.write(`${digest}\n`);
      return 0;
    };
  },
};
