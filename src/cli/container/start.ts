import { NotModified } from "../../core/errors.ts";
import type { Engine } from "../../engine/engine.ts";
import { describeFailure } from "../cli.ts";
import { atLeastOne, type Command, CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { parseDetachKeys } from "../stream/detach-keys.ts";
import { forwardSignals } from "../stream/signals.ts";
import { checkTerminal } from "../stream/terminal.ts";
import { followSession } from "./run.ts";

export const start: Command = {
  synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
  summary: "Start one or more stopped containers",
  count: atLeastOne,
  examples: ["start web", "start -ai shell"],
  define(flags) {
    const attach = flags.bool("attach", "Attach STDOUT/STDERR and forward signals", { short: "a" });
    flags.string("checkpoint", "Restore from this checkpoint", { unsupported: true });
    flags.string("checkpoint-dir", "Use a custom checkpoint storage directory", { unsupported: true });
    const detachKeys = flags.string("detach-keys", "Override the key sequence for detaching a container");
    const interactive = flags.bool("interactive", "Attach container's STDIN", { short: "i" });
    return async ({ args, io, engine }) => {
      const keys = parseDetachKeys(detachKeys.value);
      if (attach.value || interactive.value) {
        const [only = "", second] = args;
        if (second !== undefined) {
          throw new CommandError("you cannot start and attach multiple containers at once");
        }
        return await startAttached(await engine(), io, only, { stdin: interactive.value, keys });
      }
      return await startAll(await engine(), io, args);
    };
  },
};

async function startAll(engine: Engine, io: Io, names: readonly string[]): Promise<number> {
  const failed: string[] = [];
  for (const name of names) {
    try {
      await engine.containers.start(name);
    } catch (error) {
      if (!(error instanceof NotModified)) {
        failed.push(name);
        await io.stderr.write(`${describeFailure(error)}\n`);
        continue;
      }
    }
    await io.stdout.write(`${name}\n`);
  }
  if (failed.length === 0) return 0;
  throw new CommandError(`Error: failed to start containers: ${failed.join(", ")}`);
}

async function startAttached(
  engine: Engine,
  io: Io,
  name: string,
  options: { stdin: boolean; keys: Uint8Array },
): Promise<number> {
  const { containers } = engine;
  const container = await containers.inspect(name);
  const { Id: id, Config, HostConfig } = container;
  const tty = Config.Tty === true;
  const stdin = options.stdin && Config.OpenStdin === true;
  checkTerminal(io, stdin, tty);
  const signals = forwardSignals(io, engine, id, !tty);
  try {
    const streams = await containers.attach(id, { stream: true, stdin, stdout: true, stderr: true });
    const wait = await containers.wait(id, HostConfig.AutoRemove === true ? "removed" : "next-exit");
    // Should it fail while the session still goes on, that is told when the session has ended.
    wait.result.catch(() => {});
    try {
      await Promise.race([containers.start(id), signals.givenUp]);
    } catch (error) {
      if (!(error instanceof NotModified)) {
        streams.close();
        throw error;
      }
    }
    return await followSession(engine, io, id, {
      streams,
      ended: wait.result,
      givenUp: signals.givenUp,
      terms: { stdin, tty, detachKeys: options.keys },
    });
  } finally {
    signals.stop();
  }
}
