/** The `--format` flag, with the same words everywhere. */
import type { FlagSet, Option } from "../flags/flag-set.ts";

const ending = `'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates`;

/** For lists: tables too. */
export function listFormatFlag(flags: FlagSet): Option<string> {
  return flags.string(
    "format",
    `Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
${ending}`,
  );
}

/** For single objects. */
export function objectFormatFlag(flags: FlagSet, short: string | null = "f"): Option<string> {
  return flags.string("format", `Format output using a custom template:\n${ending}`, {
    ...(short === null ? {} : { short }),
  });
}
