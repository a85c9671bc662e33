/**
 * Connects to a running container's streams: conmon's `attach` socket, which is SOCK_SEQPACKET. Each packet it
 * sends begins with a byte that names the stream (2 stdout, 3 stderr); what it receives goes to stdin.
 */

import { hasErrno, SystemFailure } from "../core/errors.ts";
import { join } from "../core/paths.ts";
import type { AttachedStreams, OutputFrame } from "../core/streams.ts";
import { adoptSocket } from "../linux/adopt.ts";
import { closeSync, openSync, writeSync } from "../linux/files.ts";
import { openFlag } from "../linux/paths.ts";
import { connectSeqpacket, shutdownWriting } from "../linux/sockets.ts";
import { FrameQueue } from "./frames.ts";

/** conmon receives into 32 KiB and cuts off what is longer. */
const longestPacket = 16 * 1024;
const stdoutMark = 2;
const stderrMark = 3;

/**
 * Attaches. May be called as soon as `launchConmon` has returned: then nothing of the output is missed.
 * @throws SystemFailure when nobody listens (the container has ended).
 */
export async function attach(bundle: string): Promise<AttachedStreams> {
  const fd = connectSeqpacket(bundle, "attach");
  const frames = new FrameQueue();
  let drained = Promise.withResolvers<void>();
  let open = true;
  const end = () => {
    open = false;
    frames.end();
    drained.resolve();
  };
  const socket = await adoptSocket(
    fd,
    {
      data: (_, packet) => {
        const frame = frameOf(packet);
        if (frame !== undefined) frames.push(frame);
      },
      drain: () => drained.resolve(),
      end,
      close: end,
      error: end,
    },
    true,
  );
  frames.onPressure((full) => {
    if (!open) return;
    if (full) socket.pause();
    else socket.resume();
  });

  let inputIsOpen = true;
  let writing: Promise<void> = Promise.resolve();

  const send = async (data: Uint8Array): Promise<void> => {
    for (let offset = 0; offset < data.length; offset += longestPacket) {
      const packet = data.subarray(offset, offset + longestPacket);
      for (;;) {
        if (!open) throw new SystemFailure("write: the container's input is closed: broken pipe");
        drained = Promise.withResolvers<void>();
        // A packet is taken whole or not at all.
        if (socket.write(packet) > 0) break;
        await drained.promise;
      }
    }
  };

  return {
    output: frames,
    write: (data) => {
      if (!inputIsOpen) return Promise.reject(new SystemFailure("write: stdin is closed: broken pipe"));
      // Calls are served in order, also when nobody waits for the one before; each sees its own failure.
      const result = writing.then(() => send(data));
      writing = result.catch(() => undefined);
      return result;
    },
    closeInput: async () => {
      if (!inputIsOpen) return;
      inputIsOpen = false;
      await writing;
      if (open) shutdownWriting(fd);
    },
    close: () => {
      end();
      socket.terminate();
    },
  };
}

function frameOf(packet: Buffer): OutputFrame | undefined {
  const mark = packet[0];
  if (packet.length < 2 || (mark !== stdoutMark && mark !== stderrMark)) return undefined;
  // Bun reuses its receive buffer for the next packet.
  return { stream: mark === stdoutMark ? "stdout" : "stderr", data: new Uint8Array(packet.subarray(1)) };
}

/** Gives the container's terminal a new size (in characters). */
export function resizeTerminal(bundle: string, size: { height: number; width: number }): void {
  control(bundle, `1 ${size.height} ${size.width}\n`);
}

/** Makes conmon close and reopen its log file, after a rotation. */
export function reopenLog(bundle: string): void {
  control(bundle, "2 0 0\n");
}

/** Writes a line to conmon's `ctl` fifo. @throws SystemFailure when conmon has gone. */
function control(bundle: string, line: string): void {
  const path = join(bundle, "ctl");
  let fd: number;
  try {
    // Without a reader this fails at once instead of waiting for one.
    fd = openSync(path, openFlag.writeOnly | openFlag.nonBlocking);
  } catch (error) {
    if (hasErrno(error, "ENXIO", "ENOENT"))
      throw new SystemFailure("the container's terminal is gone", { cause: error });
    throw error;
  }
  try {
    writeSync(fd, line);
  } finally {
    closeSync(fd);
  }
}
