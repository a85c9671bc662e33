/** Content trust: signatures are neither made nor checked, which is docker's default. */
import type { FlagSet } from "../flags/flag-set.ts";
import { BadValue, parseBool } from "../flags/values.ts";

/** @param usage `Skip image verification` */
export function trustFlag(flags: FlagSet, usage: string): void {
  flags.value<boolean>("disable-content-trust", usage, {
    kind: "",
    shownDefault: "true",
    bareValue: "true",
    initial: true,
    parse: (text) => {
      if (parseBool(text)) return true;
      throw new BadValue("signatures are not supported yet by davit");
    },
  });
}
