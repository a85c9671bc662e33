import type { ContainerWaitResponse } from "../../core/objects.ts";
import type { AttachedStreams } from "../../core/streams.ts";
import type { Engine } from "../../engine/engine.ts";
import { atLeastOne, type Command, CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { containerFlags } from "../options/container.ts";
import { parseDetachKeys } from "../stream/detach-keys.ts";
import { followSize } from "../stream/resize.ts";
import { runSession, type SessionOptions } from "../stream/session.ts";
import { forwardSignals } from "../stream/signals.ts";
import { checkTerminal } from "../stream/terminal.ts";
import { createContainer, settle } from "./create.ts";

export const run: Command = {
  synopsis: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  summary: "Create and run a new container from an image",
  count: atLeastOne,
  flagsEndAtFirstWord: true,
  runsContainer: true,
  examples: [
    "run --rm -it busybox sh",
    "run -d --name web -p 8080:80 -v data:/srv --memory 64m web-server",
    'run --rm -v "$PWD":/work -w /work busybox ls',
  ],
  define(flags) {
    const options = containerFlags(flags, "running");
    const detach = flags.bool("detach", "Run container in background and print container ID", { short: "d" });
    const detachKeys = flags.string("detach-keys", "Override the key sequence for detaching a container");
    const sigProxy = flags.bool("sig-proxy", "Proxy received signals to the process", { initial: true });
    return async (invocation) => {
      const { args, io, engine } = invocation;
      const request = options.request(args, io);
      const keys = parseDetachKeys(detachKeys.value);
      if (detach.value) {
        if (options.attach.changed) {
          throw new CommandError("conflicting options: cannot specify both --attach and --detach");
        }
        Object.assign(request, {
          AttachStdin: false,
          AttachStdout: false,
          AttachStderr: false,
          StdinOnce: false,
        });
      } else {
        checkTerminal(io, request.AttachStdin === true, request.Tty === true);
      }
      const size = request.Tty === true ? io.stdout.size() : undefined;
      if (size !== undefined && request.HostConfig !== undefined) {
        request.HostConfig.ConsoleSize = [size.height, size.width];
      }
      const { id, pull } = await createContainer(invocation, request, options, async (opened) => {
        const { divertToWorking } = await import("../working/instead.ts");
        await divertToWorking(opened, request.Image ?? "", "run");
      });
      try {
        return await runContainer(await engine(), io, id, {
          stdin: request.AttachStdin === true,
          stdout: request.AttachStdout === true,
          stderr: request.AttachStderr === true,
          tty: request.Tty === true,
          isRemoved: request.HostConfig?.AutoRemove === true,
          sigProxy: sigProxy.value,
          keys,
        });
      } finally {
        await settle(io, pull);
      }
    };
  },
};

interface RunOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
  /** --rm */
  isRemoved: boolean;
  sigProxy: boolean;
  keys: Uint8Array;
}

/** Starts a created container and stays with it until it ends, unless nothing of it is attached. */
async function runContainer(engine: Engine, io: Io, id: string, options: RunOptions): Promise<number> {
  const { stdin, stdout, stderr, tty, isRemoved } = options;
  const { containers } = engine;
  if (!stdin && !stdout && !stderr) {
    await containers.start(id);
    await io.stdout.write(`${id}\n`);
    return 0;
  }
  // Attached and waiting before it starts: nothing that it does is missed.
  const streams = await containers.attach(id, { stream: true, stdin, stdout, stderr });
  const wait = await containers.wait(id, isRemoved ? "removed" : "next-exit");
  // Should it fail while the session still goes on, that is told when the session has ended.
  wait.result.catch(() => {});
  const signals = forwardSignals(io, engine, id, options.sigProxy);
  try {
    try {
      await Promise.race([containers.start(id), signals.givenUp]);
    } catch (error) {
      streams.close();
      if (isRemoved && !(error instanceof CommandError)) await Promise.race([wait.result, signals.givenUp]);
      throw error;
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

/** A container that has been started, with us at its streams. */
export interface AttachedSession {
  streams: AttachedStreams;
  ended: Promise<ContainerWaitResponse>;
  /** Rejects when the user insists on leaving. */
  givenUp: Promise<never>;
  terms: SessionOptions;
}

/** @returns its exit status, or 0 when the user has detached. */
export async function followSession(
  engine: Engine,
  io: Io,
  id: string,
  { streams, ended, givenUp, terms }: AttachedSession,
): Promise<number> {
  const stopFollowing =
    terms.tty && io.stdout.isTerminal
      ? followSize(io, (size) => engine.containers.resize(id, size))
      : () => {};
  try {
    const end = await Promise.race([runSession(io, streams, terms), givenUp]);
    if (end === "detached") return 0;
    return exitStatus(await Promise.race([ended, givenUp]));
  } finally {
    stopFollowing();
  }
}

/** @throws CommandError when the wait itself failed */
export function exitStatus(response: ContainerWaitResponse): number {
  if (response.Error !== undefined && response.Error !== null && response.Error.Message !== "") {
    throw new CommandError(`Error waiting for container: ${response.Error.Message}`, 125);
  }
  return response.StatusCode;
}
