import type { EventMessage } from "../../core/objects.ts";
import { type Command, noArguments } from "../command.ts";
import { filterFlag } from "../filters.ts";
import { objectFormatFlag } from "../format/flag.ts";
import { objectTemplate, runOnObject } from "../format/object.ts";
import { shaped } from "../format/shapes.ts";
import { rfc3339 } from "../format/units.ts";
import { momentsOf } from "../moments.ts";

export const events: Command = {
  synopsis: "[OPTIONS]",
  summary: "Get real time events from the server",
  count: noArguments,
  examples: ["events --since 1h --until 0s --filter type=container"],
  define(flags) {
    const filters = filterFlag(flags, "Filter output based on conditions provided");
    const format = objectFormatFlag(flags, null);
    const since = flags.string("since", "Show all events created since timestamp");
    const until = flags.string("until", "Stream events until this timestamp");
    return async ({ engine, io }) => {
      const template = format.value === "" ? undefined : objectTemplate(format.value);
      const messages = (await engine()).system.events({
        filters: filters.value,
        ...momentsOf({ since: since.value, until: until.value }, io.now()),
      });
      for await (const message of messages) {
        const line =
          template === undefined
            ? describe(message)
            : runOnObject(template, shaped("event", message), message);
        await io.stdout.write(`${line}\n`);
      }
      return 0;
    };
  },
};

/** `2026-11-21T00:53:39.123456789Z container start 62e6… (image=busybox, name=web)` */
function describe({ Type, Action, Actor, time, timeNano }: EventMessage): string {
  const attributes = Object.entries(Actor.Attributes ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .sort();
  const shown = attributes.length === 0 ? "" : ` (${attributes.join(", ")})`;
  return `${timestamp(time, timeNano)} ${Type} ${Action} ${Actor.ID}${shown}`;
}

function timestamp(seconds: number, nanoseconds: number): string {
  const fraction = String(BigInt(Math.trunc(nanoseconds)) % 1_000_000_000n).padStart(9, "0");
  return rfc3339(seconds).replace(/(:\d\d)(Z|[+-]\d\d:\d\d)$/, `$1.${fraction}$2`);
}
