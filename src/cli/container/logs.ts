import { type Command, exactly } from "../command.ts";
import { momentsOf } from "../moments.ts";

export const logs: Command = {
  synopsis: "[OPTIONS] CONTAINER",
  summary: "Fetch the logs of a container",
  count: exactly(1),
  examples: ["logs -f --tail 100 web", "logs --since 10m -t web"],
  define(flags) {
    flags.bool("details", "Show extra details provided to logs", { unsupported: true });
    const follow = flags.bool("follow", "Follow log output", { short: "f" });
    const moment = '(e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)';
    const since = flags.string("since", `Show logs since timestamp ${moment}`);
    const tail = flags.string("tail", "Number of lines to show from the end of the logs", {
      short: "n",
      initial: "all",
    });
    const timestamps = flags.bool("timestamps", "Show timestamps", { short: "t" });
    const until = flags.string("until", `Show logs before a timestamp ${moment}`);
    return async ({ args: [name = ""], engine, io }) => {
      const lines = /^\d+$/.test(tail.value) ? Number(tail.value) : undefined;
      const output = (await engine()).containers.logs(name, {
        stdout: true,
        stderr: true,
        follow: follow.value,
        timestamps: timestamps.value,
        ...momentsOf({ since: since.value, until: until.value }, io.now()),
        ...(lines === undefined ? {} : { tail: lines }),
      });
      for await (const { stream, data } of output) {
        await (stream === "stdout" ? io.stdout : io.stderr).write(data);
      }
      return 0;
    };
  },
};
