import type { CommandGroup } from "../command.ts";

export const registry: CommandGroup = {
  name: "registry",
  summary: "Run a registry of your own",
  children: [
    {
      name: "gc",
      summary: "Remove what no image of a registry needs any more",
      aliases: ["garbage-collect"],
      load: async () => (await import("./gc.ts")).collect,
    },
    {
      name: "serve",
      summary: "Serve images to docker, podman, davit and all others over the OCI distribution API",
      load: async () => (await import("./serve.ts")).serve,
    },
  ],
};
