import type { ContainerInspect } from "../../core/objects.ts";
import { type Command, CommandError, exactly } from "../command.ts";
import { parseDetachKeys } from "../stream/detach-keys.ts";
import { followSize } from "../stream/resize.ts";
import { runSession } from "../stream/session.ts";
import { forwardSignals } from "../stream/signals.ts";
import { checkTerminal } from "../stream/terminal.ts";
import { exitStatus } from "./run.ts";

export const attach: Command = {
  synopsis: "[OPTIONS] CONTAINER",
  summary: "Attach local standard input, output, and error streams to a running container",
  count: exactly(1),
  examples: ["attach --detach-keys ctrl-a,d web"],
  define(flags) {
    const detachKeys = flags.string("detach-keys", "Override the key sequence for detaching a container");
    const noStdin = flags.bool("no-stdin", "Do not attach STDIN");
    const sigProxy = flags.bool("sig-proxy", "Proxy all received signals to the process", { initial: true });
    return async ({ args: [name = ""], io, engine }) => {
      const keys = parseDetachKeys(detachKeys.value);
      const opened = await engine();
      const { containers } = opened;
      const container = await containers.inspect(name);
      checkAttachable(container);
      const tty = container.Config.Tty === true;
      checkTerminal(io, !noStdin.value, tty);
      const stdin = !noStdin.value && container.Config.OpenStdin === true;
      const wait = await containers.wait(container.Id, "not-running");
      const streams = await containers.attach(container.Id, {
        stream: true,
        stdin,
        stdout: true,
        stderr: true,
      });
      const signals = forwardSignals(io, opened, container.Id, sigProxy.value && !tty);
      const stopFollowing =
        tty && io.stdout.isTerminal
          ? followSize(io, (size) => containers.resize(container.Id, size))
          : () => {};
      try {
        const session = runSession(io, streams, { stdin, tty, detachKeys: keys });
        const end = await Promise.race([session, signals.givenUp]);
        if (end === "detached") throw new CommandError("read escape sequence");
        return exitStatus(await Promise.race([wait.result, signals.givenUp]));
      } finally {
        stopFollowing();
        signals.stop();
      }
    };
  },
};

/** @throws CommandError when nothing can be attached to now */
function checkAttachable({ State }: ContainerInspect): void {
  if (!State.Running) throw new CommandError("You cannot attach to a stopped container, start it first");
  if (State.Paused) throw new CommandError("You cannot attach to a paused container, unpause it first");
  if (State.Restarting) {
    throw new CommandError("You cannot attach to a restarting container, wait until it is running");
  }
}
