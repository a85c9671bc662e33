import { StartFailure } from "../../core/errors.ts";
import type { ExecConfig } from "../../core/objects.ts";
import type { Engine } from "../../engine/engine.ts";
import { describeFailure } from "../cli.ts";
import { type Command, CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { checkEnvironment, environment } from "../options/key-values.ts";
import { parseDetachKeys } from "../stream/detach-keys.ts";
import { followSize } from "../stream/resize.ts";
import { runSession } from "../stream/session.ts";
import { checkTerminal } from "../stream/terminal.ts";

export const exec: Command = {
  synopsis: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  summary: "Execute a command in a running container",
  count: { least: 2 },
  flagsEndAtFirstWord: true,
  examples: ["exec -it web sh", "exec -u nobody -w /tmp web ls -l"],
  define(flags) {
    const detach = flags.bool("detach", "Detached mode: run command in the background", { short: "d" });
    const detachKeys = flags.string("detach-keys", "Override the key sequence for detaching a container");
    const env = flags.list("env", "Set environment variables", { short: "e", parse: checkEnvironment });
    const envFile = flags.list("env-file", "Read in a file of environment variables");
    const interactive = flags.bool("interactive", "Keep STDIN open even if not attached", { short: "i" });
    const privileged = flags.bool("privileged", "Give extended privileges to the command");
    const tty = flags.bool("tty", "Allocate a pseudo-TTY", { short: "t" });
    const user = flags.string("user", 'Username or UID (format: "<name|uid>[:<group|gid>]")', { short: "u" });
    const workdir = flags.string("workdir", "Working directory inside the container", { short: "w" });
    return async ({ args, io, engine }) => {
      const [container = "", ...command] = args;
      const keys = parseDetachKeys(detachKeys.value);
      const isAttached = !detach.value;
      const stdin = isAttached && interactive.value;
      const size = tty.value ? io.stdout.size() : undefined;
      const config: ExecConfig = {
        AttachStdin: stdin,
        AttachStdout: isAttached,
        AttachStderr: isAttached,
        Tty: tty.value,
        Env: environment(io, envFile.value, env.value),
        Cmd: command,
        Privileged: privileged.value,
        User: user.value,
        WorkingDir: workdir.value,
        ...(detachKeys.changed ? { DetachKeys: detachKeys.value } : {}),
        ...(size === undefined ? {} : { ConsoleSize: [size.height, size.width] }),
      };
      const isMistaken = isAttached && stdin && tty.value && !io.stdin.isTerminal;
      const plan = { container, tty: tty.value, stdin, attached: isAttached };
      const opened = await engine(isMistaken ? {} : { exec: plan });
      if (isMistaken) {
        // A missing container is the more useful news.
        await opened.containers.inspect(container);
        checkTerminal(io, stdin, tty.value);
      }
      const { Id: id } = await opened.execs.create(container, config);
      try {
        if (isAttached) return await runAttached(opened, io, id, { stdin, tty: tty.value, keys });
        await opened.execs.startDetached(id);
        return 0;
      } catch (error) {
        if (error instanceof StartFailure) throw new CommandError(describeFailure(error), error.exitCode);
        throw error;
      }
    };
  },
};

async function runAttached(
  engine: Engine,
  io: Io,
  id: string,
  { stdin, tty, keys }: { stdin: boolean; tty: boolean; keys: Uint8Array },
): Promise<number> {
  const streams = await engine.execs.start(id, { tty, stdin });
  const stopFollowing =
    tty && io.stdin.isTerminal ? followSize(io, (size) => engine.execs.resize(id, size)) : () => {};
  try {
    const end = await runSession(io, streams, { stdin, tty, detachKeys: keys });
    if (end === "detached") throw new CommandError("read escape sequence");
    return (await engine.execs.inspect(id)).ExitCode ?? 0;
  } finally {
    stopFollowing();
  }
}
