import { NotModified } from "../../core/errors.ts";
import { atLeastOne, type Command } from "../command.ts";
import { eachTarget } from "../failures.ts";
import type { FlagSet, Option } from "../flags/flag-set.ts";
import { parseInteger } from "../flags/values.ts";

export const stop: Command = {
  synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Stop one or more running containers",
  count: atLeastOne,
  examples: ["stop web", "stop -t 1 web worker"],
  define(flags) {
    const signal = flags.string("signal", "Signal to send to the container", { short: "s" });
    const timeout = timeoutFlag(flags);
    return async (invocation) => {
      const { containers } = await invocation.engine();
      return await eachTarget(invocation, async (name) => {
        try {
          await containers.stop(name, stopOptions(signal, timeout));
        } catch (error) {
          if (!(error instanceof NotModified)) throw error;
        }
        await invocation.io.stdout.write(`${name}\n`);
      });
    };
  },
};

/** `--timeout`, and `--time` as it was called before. */
export function timeoutFlag(flags: FlagSet): Option<number> {
  const timeout = flags.int("timeout", "Seconds to wait before killing the container", { short: "t" });
  flags.value("time", "Seconds to wait before killing the container", {
    initial: 0,
    deprecated: "use --timeout instead",
    parse: (text) => {
      timeout.value = parseInteger(text);
      timeout.changed = true;
      return timeout.value;
    },
  });
  return timeout;
}

/** Of `stop` and `restart`: what was not given is left out. */
export function stopOptions(
  signal: Option<string>,
  timeout: Option<number>,
): { signal?: string; timeout?: number } {
  return {
    ...(signal.value === "" ? {} : { signal: signal.value }),
    ...(timeout.changed ? { timeout: timeout.value } : {}),
  };
}
