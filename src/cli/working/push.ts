import { NotFound } from "../../core/errors.ts";
import { resolve } from "../../core/paths.ts";
import type { Images, ProgressMessage } from "../../engine/engine.ts";
import { canonicalForm, withDefaultTag } from "../../engine/references.ts";
import type { CopyRequest } from "../../engine/transports/copy.ts";
import type { Reach } from "../../engine/working.ts";
import { writeFileSync } from "../../linux/files.ts";
import type { Command, Invocation } from "../command.ts";
import { copyShown } from "../image/copy.ts";
import { namedReference } from "../options/references.ts";
import { type ProgressDisplay, progressDisplay, quietDisplay, showAll } from "../progress/display.ts";
import { asBuildah, failure } from "./failures.ts";
import { accepted, isElsewhere, needsAccess, reachFlags, withoutTransport } from "./flags.ts";

export const push: Command = {
  synopsis: "[OPTIONS] IMAGE [DESTINATION]",
  summary: "Push an image to a specified destination",
  description: `Push an image to a registry, or copy it elsewhere:
  docker://NAME[:TAG], oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], docker-daemon:NAME`,
  count: { least: 0 },
  examples: ["buildah push site docker://registry.example.com/site:1", "buildah push site oci:layout:site"],
  define(flags) {
    const digestFile = flags.string("digestfile", "Write the digest of the resulting image to the file");
    const format = flags.string("format", "Manifest type (oci or v2s2) to use in the destination", {
      short: "f",
    });
    const quiet = flags.bool("quiet", "Don't output progress information when pushing images", {
      short: "q",
    });
    flags.bool("disable-compression", "Accepted for scripts", { short: "D", hidden: true });
    accepted(flags, { bools: ["all", "remove-signatures"] });
    const reach = reachFlags(flags);
    return asBuildah(async (invocation) => {
      const { io, args } = invocation;
      const [image, destination = "", ...more] = args;
      if (image === undefined) throw failure("at least a source image ID must be specified");
      if (more.length > 0) throw failure("too many arguments specified");
      const display = quiet.value ? quietDisplay : progressDisplay(io, io.stderr);
      const target = destination === "" ? image : withoutTransport(destination);
      const { credentials, ...access } = reach(invocation, target);
      const isPlace = isElsewhere(target);
      // What speaks in the clear, or without a certificate, only the copy is told of.
      const digest =
        isPlace || needsAccess(access)
          ? await copyShown(
              invocation,
              {
                from: `davit:${image}`,
                to: isPlace ? target : `docker://${target}`,
                ...formatOf(format.value),
              },
              { ...access, ...(credentials === undefined ? {} : { credentials }) },
              display,
            )
          : await toRegistry(invocation, { image, target, credentials }, display);
      if (digestFile.value !== "") writeFileSync(resolve(io.cwd, digestFile.value), digest);
      return 0;
    });
  },
};

function formatOf(text: string): Pick<CopyRequest, "format"> {
  if (text === "") return {};
  if (text === "oci") return { format: "oci" };
  if (text === "v2s2" || text === "docker") return { format: "docker" };
  throw failure(
    `unknown format ${JSON.stringify(text)}. Choose one of the supported formats: 'oci', or 'v2s2'`,
  );
}

/** Under another name the image is known here while it travels. @returns the digest that it has there */
async function toRegistry(
  invocation: Invocation,
  { image, target, credentials }: { image: string; target: string; credentials: Reach["credentials"] },
  display: ProgressDisplay,
): Promise<string> {
  const { images } = await invocation.engine();
  const source = await images.inspect(image).catch((error: unknown) => {
    if (!(error instanceof NotFound)) throw error;
    const shown = JSON.stringify(`docker://${target}`);
    throw failure(`pushing image ${JSON.stringify(image)} to ${shown}: ${image}: image not known`);
  });
  const reference = withDefaultTag(namedReference(target));
  const name = canonicalForm(reference);
  const before = await idOf(images, name);
  const isLent = before !== source.Id;
  if (isLent) await images.tag(source.Id, name);
  try {
    const auth = await credentials?.(reference.domain);
    let digest = "";
    const watched = async function* (messages: AsyncIterable<ProgressMessage>) {
      for await (const message of messages) {
        digest = digestIn(message.aux) ?? digest;
        yield message;
      }
    };
    await showAll(display, watched(images.push(name, auth === undefined ? {} : { auth })));
    return digest;
  } finally {
    if (isLent && before !== undefined) await images.tag(before, name);
    else if (isLent) await images.remove(name);
  }
}

async function idOf(images: Images, name: string): Promise<string | undefined> {
  try {
    return (await images.inspect(name)).Id;
  } catch (error) {
    if (error instanceof NotFound) return undefined;
    throw error;
  }
}

function digestIn(aux: unknown): string | undefined {
  if (typeof aux !== "object" || aux === null || !("Digest" in aux)) return undefined;
  return typeof aux.Digest === "string" ? aux.Digest : undefined;
}
