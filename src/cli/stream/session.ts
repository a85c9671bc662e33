/** Connects our streams with those of a process in a container. */
import { hasErrno } from "../../core/errors.ts";
import type { AttachedStreams } from "../../engine/engine.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { DetachFilter } from "./detach-keys.ts";

export interface SessionOptions {
  /** Feed our stdin to the process. */
  stdin: boolean;
  /** The process has a terminal: ours goes into raw mode, and the detach keys are watched for. */
  tty: boolean;
  detachKeys: Uint8Array;
}

export type SessionEnd = "output ended" | "detached";

/**
 * Copies until the process's output has ended or the user typed the detach keys. Our terminal is as before when
 * this returns or throws. @throws CommandError when nobody reads our output any more
 */
export async function runSession(
  io: Io,
  streams: AttachedStreams,
  options: SessionOptions,
): Promise<SessionEnd> {
  const raw = options.stdin && options.tty && io.stdin.isTerminal;
  if (raw) io.stdin.setRaw(true);
  try {
    const output = copyOutput(io, streams);
    if (!options.stdin) return await output;
    const input = copyInput(io, streams, options);
    return await Promise.race([output, input.then((end) => (end === "detached" ? end : output))]);
  } finally {
    if (raw) io.stdin.setRaw(false);
    streams.close();
  }
}

async function copyOutput(io: Io, streams: AttachedStreams): Promise<SessionEnd> {
  for await (const { stream, data } of streams.output) {
    try {
      await (stream === "stdout" ? io.stdout : io.stderr).write(data);
    } catch (error) {
      // The container goes on; who watches its output has gone.
      if (hasErrno(error, "EPIPE")) throw new CommandError(`write /dev/${stream}: broken pipe`);
      throw error;
    }
  }
  return "output ended";
}

async function copyInput(
  io: Io,
  streams: AttachedStreams,
  options: SessionOptions,
): Promise<SessionEnd | "input ended"> {
  const filter = new DetachFilter(options.tty && io.stdin.isTerminal ? options.detachKeys : new Uint8Array());
  for await (const chunk of io.stdin.chunks()) {
    const { data, detached } = options.tty ? filter.push(chunk) : { data: chunk, detached: false };
    if (data.length > 0 && !(await passOn(() => streams.write(data)))) return "input ended";
    if (detached) return "detached";
  }
  const rest = filter.end();
  if (rest.length > 0) await passOn(() => streams.write(rest));
  await passOn(() => streams.closeInput());
  return "input ended";
}

/** A process that reads no more is not our failure: its output and exit status tell. */
async function passOn(hand: () => Promise<void>): Promise<boolean> {
  try {
    await hand();
    return true;
  } catch {
    return false;
  }
}
