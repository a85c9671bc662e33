import { atLeastOne, type Command } from "../command.ts";
import { plainly } from "../failures.ts";
import { listDirectory, manifestLists } from "./places.ts";

export const remove: Command = {
  synopsis: "MANIFEST_LIST [MANIFEST_LIST...]",
  summary: "Delete one or more manifest lists from local storage",
  count: atLeastOne,
  examples: ["manifest rm registry.example.com/web:1"],
  define: () => async (invocation) => {
    await plainly(async () => {
      const { removeManifestLists } = await manifestLists();
      await removeManifestLists({ directory: listDirectory(invocation) }, invocation.args);
    });
    return 0;
  },
};
