import type { Engine, ProgressMessage, PullOptions } from "../../engine/engine.ts";
import { canonicalForm, type Reference, withDefaultTag } from "../../engine/references.ts";
import { authOption } from "../account/credentials.ts";
import { type Command, CommandError, exactly, type Invocation } from "../command.ts";
import { namedReference } from "../options/references.ts";
import { trustFlag } from "../options/trust.ts";
import {
  failingPlainly,
  type ProgressDisplay,
  progressDisplay,
  quietDisplay,
  showAll,
} from "../progress/display.ts";

export const pull: Command = {
  synopsis: "[OPTIONS] NAME[:TAG|@DIGEST]",
  summary: "Download an image from a registry",
  count: exactly(1),
  examples: ["pull busybox", "pull -q --platform linux/arm64 registry.example.com/tools/build:1"],
  define(flags) {
    const all = flags.bool("all-tags", "Download all tagged images in the repository", { short: "a" });
    trustFlag(flags, "Skip image verification");
    const platform = flags.string("platform", "Set platform if server is multi-platform capable");
    const quiet = flags.bool("quiet", "Suppress verbose output", { short: "q" });
    return async (invocation) => {
      const { args, engine, io } = invocation;
      const given = namedReference(args[0] ?? "");
      const name = chooseTag(given, all.value);
      if (!quiet.value) await io.stdout.write(aboutTag(given, name));
      const wanted = platform.value || io.env.DOCKER_DEFAULT_PLATFORM;
      const { domain, path, tag, digest } = name;
      const asksTag = tag !== undefined && digest === undefined;
      const opening = engine({ registry: { domain, ...(asksTag ? { first: { path, tag } } : {}) } });
      const options: PullOptions = {
        all: all.value,
        ...(wanted ? { platform: wanted } : {}),
        ...(await authOption(invocation, canonicalForm(name))),
      };
      const { images } = await opening;
      const display = quiet.value ? quietDisplay : progressDisplay(io, io.stdout);
      await showAll(display, images.pull(canonicalForm(name), options));
      await io.stdout.write(`${canonicalForm(name)}\n`);
      return 0;
    };
  },
};

/** @throws CommandError for a tag beside --all-tags */
export function chooseTag(reference: Reference, all: boolean): Reference {
  if (!all) return withDefaultTag(reference);
  if (isBare(reference)) return reference;
  throw new CommandError("tag can't be used with --all-tags/-a");
}

/** What `chooseTag` chose, for the user. */
export function aboutTag(given: Reference, chosen: Reference): string {
  return isBare(given) && chosen.tag !== undefined ? `Using default tag: ${chosen.tag}\n` : "";
}

function isBare({ tag, digest }: Reference): boolean {
  return tag === undefined && digest === undefined;
}

/** A pull on behalf of `run`: the image may be used before all of the work is done. */
export interface PullInProgress {
  /** Resolves when nothing more is to be done. @throws what went wrong after the image could be used */
  finished(): Promise<void>;
}

/**
 * Pulls and shows it on stderr, up to where the image can be used.
 * @throws TransferFailure, or the engine's own error when it fails before it began.
 */
export async function pullForUse(
  invocation: Pick<Invocation, "io" | "configDirectory">,
  { images }: Engine,
  image: string,
  options: { platform?: string; quiet: boolean },
): Promise<PullInProgress> {
  const { io } = invocation;
  const name = canonicalForm(withDefaultTag(namedReference(image)));
  const display = options.quiet ? quietDisplay : progressDisplay(io, io.stderr);
  const messages = images.pull(name, {
    lazy: true,
    ...(options.platform === undefined ? {} : { platform: options.platform }),
    ...(await authOption(invocation, name)),
  });
  const iterator = failingPlainly(messages, display);
  for (let step = await iterator.next(); step.done !== true; step = await iterator.next()) {
    await display.show(step.value);
    if (isUsable(step.value)) break;
  }
  await display.finish();
  const rest = showRest(iterator, display);
  // Its failure is told by whoever asks for the end.
  rest.catch(() => {});
  return { finished: () => rest };
}

/** The engine says `Status: Downloaded newer image for …` when the image can be used. */
function isUsable({ id, status }: ProgressMessage): boolean {
  return (id === undefined || id === "") && status?.startsWith("Status: ") === true;
}

/** Hardly anything: what remains is to make the image survive. */
async function showRest(messages: AsyncGenerator<ProgressMessage>, display: ProgressDisplay): Promise<void> {
  for await (const message of messages) await display.show(message);
}
