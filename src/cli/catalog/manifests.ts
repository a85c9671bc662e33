/** Commands that put lists of manifests together. */
import type { CommandGroup } from "../command.ts";

export const manifests: CommandGroup = {
  name: "manifest",
  summary: "Manage image manifests and manifest lists",
  children: [
    {
      name: "annotate",
      summary: "Add additional information to a local image manifest",
      load: async () => (await import("../manifest/annotate.ts")).annotate,
    },
    {
      name: "create",
      summary: "Create a local manifest list for annotating and pushing to a registry",
      load: async () => (await import("../manifest/create.ts")).create,
    },
    {
      name: "inspect",
      summary: "Display an image manifest, or manifest list",
      load: async () => (await import("../manifest/inspect.ts")).inspect,
    },
    {
      name: "push",
      summary: "Push a manifest list to a repository",
      load: async () => (await import("../manifest/push.ts")).push,
    },
    {
      name: "rm",
      summary: "Delete one or more manifest lists from local storage",
      load: async () => (await import("../manifest/remove.ts")).remove,
    },
  ],
};
