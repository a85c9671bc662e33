import { resolve } from "../../core/paths.ts";
import { version } from "../../core/version.ts";
import { type WorkingCommitRequest, workingContainersOf } from "../../engine/working.ts";
import { writeFileSync } from "../../linux/files.ts";
import type { Command, Invocation } from "../command.ts";
import type { FlagSet } from "../flags/flag-set.ts";
import { splitCsv } from "../options/key-values.ts";
import { progressDisplay, quietDisplay } from "../progress/display.ts";
import { asBuildah, failure, readingContainer } from "./failures.ts";
import { accepted, reachFlags, readFormat, unsupported } from "./flags.ts";
import { shownBy } from "./shown.ts";

export const commit: Command = {
  synopsis: "[OPTIONS] CONTAINER [IMAGE | TRANSPORT:DETAILS]",
  summary: "Create an image from a working container",
  description:
    "Write a new image using the container's read-write layer and, if it is based on an image, the layers of that image",
  count: { least: 0 },
  examples: [
    "commit --rm site-working-container site:1",
    "commit site-working-container oci:layout:site",
    "commit --timestamp 0 --squash site-working-container docker-archive:site.tar:site:1",
  ],
  define(flags) {
    const reach = reachFlags(flags);
    const options = declare(flags);
    return asBuildah(async (invocation) => {
      const { io, args } = invocation;
      const [name, destination = "", ...more] = args;
      if (name === undefined) throw failure("container ID must be specified");
      if (more.length > 0) throw failure("too many arguments specified");
      const working = workingContainersOf(await invocation.engine());
      const display = options.quiet.value ? quietDisplay : progressDisplay(io, io.stderr);
      const request = requestOf(invocation, options, destination);
      const done = await shownBy(io, display, (report, signal) =>
        readingContainer(name, () =>
          working.commit(name, {
            ...reach(invocation, destination),
            ...request,
            report,
            signal,
          }),
        ),
      );
      if (options.iidfile.value !== "") writeFileSync(resolve(io.cwd, options.iidfile.value), done.imageId);
      else if (done.isHere) await io.stdout.write(`${done.imageId.replace("sha256:", "")}\n`);
      return 0;
    });
  },
};

/** Beside Docker's verb of that name, of which containers that are no working containers have no use yet. */
export const commitOfDocker: Command = {
  ...commit,
  define(flags) {
    flags.string("author", "As docker's", { short: "a", unsupported: true });
    flags.string("change", "As docker's", { short: "c", unsupported: true });
    flags.string("message", "As docker's", { short: "m", unsupported: true });
    flags.bool("pause", "As docker's", { short: "p", unsupported: true });
    flags.bool("no-pause", "As docker's", { unsupported: true });
    return commit.define(flags);
  },
};

function declare(flags: FlagSet) {
  accepted(flags, { bools: ["rewrite-timestamp"] });
  flags.bool("disable-compression", "Don't compress layers, which is done anyway", {
    short: "D",
    initial: true,
    hidden: true,
  });
  unsupported(flags, ["cw", "sbom"]);
  return {
    format: flags.string("format", "Format of the image manifest and metadata", {
      short: "f",
      shownDefault: '"oci"',
    }),
    identityLabel: flags.bool("identity-label", "Add a label that names the builder"),
    iidfile: flags.string("iidfile", "Write the image ID to the file"),
    manifest: flags.string("manifest", "Add the image to the manifest list, which is made if there is none"),
    omitHistory: flags.bool("omit-history", "Omit build history information from the built image"),
    quiet: flags.bool("quiet", "Don't output progress information when writing images", { short: "q" }),
    rm: flags.bool("rm", "Remove the container and its content after committing it to an image"),
    squash: flags.bool("squash", "Produce an image with only one layer"),
    timestamp: flags.string(
      "timestamp",
      "Set every time in the image to epoch seconds, for deterministic builds",
      {
        kind: "int",
      },
    ),
    unsetenv: flags.list("unsetenv", "Unset env from final image"),
  };
}

function requestOf(
  { io }: Invocation,
  options: ReturnType<typeof declare>,
  destination: string,
): WorkingCommitRequest {
  const format = options.format.value || io.env.BUILDAH_FORMAT || "";
  const timestamp = options.timestamp.value || io.env.SOURCE_DATE_EPOCH || "";
  return {
    destination,
    ...(format === "" ? {} : { format: readFormat(format) }),
    squash: options.squash.value,
    ...(timestamp === "" ? {} : { timestamp: secondsOf(timestamp) }),
    omitHistory: options.omitHistory.value,
    unsetEnvironment: options.unsetenv.value.flatMap(splitCsv),
    labels: options.identityLabel.value ? { "io.davit.version": version } : {},
    ...(options.manifest.value === "" ? {} : { list: options.manifest.value }),
    remove: options.rm.value,
  };
}

function secondsOf(text: string): number {
  if (/^\d{1,11}$/.test(text)) return Number(text);
  throw failure(`invalid timestamp ${JSON.stringify(text)}: seconds since 1970 are wanted`);
}
