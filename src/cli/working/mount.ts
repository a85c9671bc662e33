import { workingContainersOf } from "../../engine/working.ts";
import type { Command } from "../command.ts";
import { asBuildah, failure, namingContainer, readingContainer } from "./failures.ts";
import { accepted } from "./flags.ts";

export const mount: Command = {
  synopsis: "[OPTIONS] [CONTAINER...]",
  summary: "Mount a working container's root filesystem",
  description:
    "Mount a working container's root filesystem for manipulation, and print where; without a name, list what is mounted",
  count: { least: 0 },
  examples: ["mount site-working-container", 'cp -a www "$(davit mount site-working-container)/srv"'],
  define(flags) {
    const json = flags.bool("json", "Output in JSON format");
    accepted(flags, { bools: ["notruncate"] });
    return asBuildah(async ({ args, io, engine }) => {
      const working = workingContainersOf(await engine());
      const places: { container: string; mountPoint: string }[] = [];
      for (const name of args) {
        const mountPoint = await readingContainer(name, () => working.mount(name));
        places.push({ container: name, mountPoint });
      }
      if (args.length === 0) {
        for (const { name, path } of await working.mounted())
          places.push({ container: name, mountPoint: path });
      }
      const isOne = args.length === 1;
      const lines = places.map(({ container, mountPoint }) =>
        isOne ? mountPoint : `${container} ${mountPoint}`,
      );
      const text = json.value ? JSON.stringify(places, null, 4) : lines.join("\n");
      if (text !== "") await io.stdout.write(`${text}\n`);
      return 0;
    });
  },
};

export const unmount: Command = {
  synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Unmount the root filesystem of working containers",
  count: { least: 0 },
  examples: ["umount site-working-container", "umount --all"],
  define(flags) {
    const all = flags.bool("all", "Unmount all of the currently mounted containers", { short: "a" });
    return asBuildah(async ({ args, io, engine }) => {
      if (all.value && args.length > 0) {
        throw failure("when using the --all switch, you may not pass any container IDs");
      }
      if (!all.value && args.length === 0) throw failure("at least one container ID must be specified");
      const working = workingContainersOf(await engine());
      const names = all.value ? (await working.mounted()).map(({ id }) => id) : args;
      for (const name of names) {
        const id = await namingContainer(`error unmounting container ${name}`, () => working.unmount(name));
        if (id !== undefined) await io.stdout.write(`${id}\n`);
      }
      return 0;
    });
  },
};
