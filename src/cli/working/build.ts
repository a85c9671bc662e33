import { join, resolve } from "../../core/paths.ts";
import { existsSync } from "../../linux/files.ts";
import { build as dockersBuild } from "../build/build.ts";
import type { Command } from "../command.ts";

/** Flags of Buildah's that mean nothing here, or what is done anyway. */
const accepted = {
  bools: ["http-proxy", "identity-label", "layers", "omit-history", "tls-verify"],
  strings: ["format", "isolation", "jobs", "retry", "retry-delay", "runtime", "stdin"],
};

/** As `davit build`, with Buildah's defaults: the context is here, and its file may be a Containerfile. */
export const build: Command = {
  ...dockersBuild,
  synopsis: "[OPTIONS] [PATH | URL | -]",
  count: { least: 0, most: 1 },
  examples: ["buildah bud -t app .", "buildah bud -f Containerfile.test"],
  define(flags) {
    const act = dockersBuild.define(flags);
    for (const name of accepted.bools.filter((each) => flags.find(each) === undefined)) {
      flags.bool(name, "Accepted for scripts", { hidden: true, initial: true });
    }
    for (const name of accepted.strings.filter((each) => flags.find(each) === undefined)) {
      flags.string(name, "Accepted for scripts", { hidden: true });
    }
    const inner = flags.find("file");
    const file = flags.string(
      "file",
      'Name of the Dockerfile (default: "Containerfile", else "Dockerfile")',
      {
        short: "f",
      },
    );
    return async (invocation) => {
      const [place = "."] = invocation.args;
      const here = resolve(invocation.io.cwd, place);
      if (file.changed) inner?.set(file.value);
      else if (existsSync(join(here, "Containerfile"))) inner?.set("Containerfile");
      return await act({ ...invocation, args: [place] });
    };
  },
};
