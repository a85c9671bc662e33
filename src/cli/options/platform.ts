/** `--platform os[/arch[/variant]]`, in one spelling. */
import { InvalidParameter } from "../../core/errors.ts";
import { formatPlatform, parsePlatform } from "../../engine/platforms.ts";
import type { FlagSet, Option } from "../flags/flag-set.ts";
import { BadValue } from "../flags/values.ts";

const spelling = `Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")`;

/** @param usage what is done for the platform, without a full stop */
export function platformFlag(flags: FlagSet, usage: string): Option<string> {
  return flags.string("platform", `${usage}. ${spelling}`);
}

/** Repeatable, and a list behind commas. Read with `normalPlatform`, as it comes. */
export function platformsFlag(flags: FlagSet, usage: string): Option<string[]> {
  const platforms: string[] = [];
  return flags.value<string[]>("platform", `${usage}. ${spelling}`, {
    kind: "strings",
    initial: platforms,
    parse: (text) => {
      platforms.push(...text.split(",").filter((platform) => platform !== ""));
      return platforms;
    },
  });
}

/** Undefined when nothing was asked for. @throws BadValue in containerd's words, with `prefix` before them */
export function normalPlatform(text: string, prefix = "invalid platform: "): string | undefined {
  if (text === "") return undefined;
  try {
    return formatPlatform(parsePlatform(text));
  } catch (error) {
    if (error instanceof InvalidParameter) throw new BadValue(`${prefix}${error.message}`);
    throw error;
  }
}
