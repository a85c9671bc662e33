/** `--filter key=value`, repeatable, as the Engine API takes them. */
import type { Filters } from "../engine/engine.ts";
import type { FlagSet, Option } from "./flags/flag-set.ts";
import { BadValue } from "./flags/values.ts";

/** @param short null where docker has no short form */
export function filterFlag(flags: FlagSet, usage: string, short: string | null = "f"): Option<Filters> {
  const filters: Filters = {};
  return flags.value<Filters>("filter", usage, {
    ...(short === null ? {} : { short }),
    kind: "filter",
    initial: filters,
    parse: (text) => {
      const equals = text.indexOf("=");
      if (equals < 0) throw new BadValue("bad format of filter (expected name=value)");
      const name = text.slice(0, equals).trim().toLowerCase();
      filters[name] = [...(filters[name] ?? []), text.slice(equals + 1).trim()];
      return filters;
    },
  });
}
