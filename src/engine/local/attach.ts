/** Connections to a container's streams: to a running one, or to one that is about to be started. */
import { Conflict } from "../../core/errors.ts";
import { bundlePath, logPath } from "../../core/instance.ts";
import type { AttachedStreams, OutputFrame } from "../../core/streams.ts";
import { attach as connect } from "../../runtime/attach.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import type { AttachOptions } from "../engine.ts";
import { containerEvent, type Local } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { settle } from "./settle.ts";
import { liveState } from "./status.ts";

/** @throws Conflict when the container is paused. */
export async function attach(
  local: Local,
  reference: string,
  options: AttachOptions,
): Promise<AttachedStreams> {
  const { id } = findContainer(local.state, reference);
  const record = (await settle(local, id)) ?? findContainer(local.state, reference);
  if (record.state.status === "paused") {
    throw new Conflict(`container ${reference} is paused, unpause the container before attach`);
  }
  const live = await liveStreams(local, record, options);
  if (options.stream !== false) local.emit(containerEvent(record, "attach"));
  const wanted = { stdout: options.stdout === true, stderr: options.stderr === true };
  const logged = options.logs === true ? loggedSoFar(logPath(local.instance, record.id), wanted) : undefined;
  return {
    output: concatenate(logged, select(live.output, wanted)),
    write: (data) => live.write(data),
    closeInput: () => live.closeInput(),
    close: () => {
      // Whoever closes may stop to read in the middle of the log: its file is closed all the same.
      void logged?.return(undefined);
      live.close();
    },
  };
}

async function liveStreams(
  local: Local,
  record: ContainerRecord,
  options: AttachOptions,
): Promise<AttachedStreams> {
  if (options.stream === false) return silence;
  if (liveState(record) !== undefined) return await connect(bundlePath(local.instance, record.id));
  return waitForStart(local, record);
}

/** What is attached when only the log was asked for. */
const silence: AttachedStreams = {
  output: (async function* () {})(),
  write: async () => {
    throw new Conflict("stdin is not attached");
  },
  closeInput: async () => {},
  close: () => {},
};

/** Streams that come to life when this process starts the container, before its program runs. */
function waitForStart(local: Local, record: ContainerRecord): AttachedStreams {
  const { promise, resolve } = Promise.withResolvers<AttachedStreams | undefined>();
  const waiting = local.waitingClients.get(record.id) ?? [];
  local.waitingClients.set(record.id, [
    ...waiting,
    { connected: (streams) => resolve(streams), failed: () => resolve(undefined) },
  ]);
  return {
    output: (async function* () {
      const streams = await promise;
      if (streams !== undefined) yield* streams.output;
    })(),
    write: async (data) => (await promise)?.write(data),
    closeInput: async () => (await promise)?.closeInput(),
    close: () => {
      // Before the start there is nothing to close; the iteration above ends with this too.
      void promise.then((streams) => streams?.close());
      resolve(undefined);
    },
  };
}

/** What reads logs is loaded for those who ask for them. */
async function* loggedSoFar(
  path: string,
  wanted: { stdout: boolean; stderr: boolean },
): AsyncGenerator<OutputFrame> {
  const { readLog } = await import("../../runtime/logs.ts");
  yield* readLog(path, wanted);
}

async function* select(
  frames: AsyncIterable<OutputFrame>,
  wanted: { stdout: boolean; stderr: boolean },
): AsyncGenerator<OutputFrame> {
  for await (const frame of frames) if (wanted[frame.stream]) yield frame;
}

async function* concatenate(
  first: AsyncIterable<OutputFrame> | undefined,
  second: AsyncIterable<OutputFrame>,
): AsyncGenerator<OutputFrame> {
  if (first !== undefined) yield* first;
  yield* second;
}
