/**
 * Shows what an engine says of long work: on a terminal one line for each layer, kept up to date in place;
 * elsewhere, what has happened, line by line, as docker does.
 */
import { DavitError } from "../../core/errors.ts";
import type { ProgressMessage } from "../../engine/engine.ts";
import type { Io, OutputStream } from "../io.ts";
import { isBare } from "./bar.ts";
import { Board } from "./board.ts";

export interface ProgressDisplay {
  show(message: ProgressMessage): Promise<void>;
  /** A line below all others for the moment, where there is a terminal. */
  note(text: string): Promise<void>;
  /** Leaves the last state on the screen. What is written after that stands below it. */
  finish(): Promise<void>;
}

export function progressDisplay(io: Io, stream: OutputStream): ProgressDisplay {
  return stream.isTerminal && io.env.TERM !== "dumb" ? new Board(io, stream) : plainDisplay(stream);
}

/** Shows nothing. */
export const quietDisplay: ProgressDisplay = {
  show: async () => {},
  note: async () => {},
  finish: async () => {},
};

/** The engine's own words for what went wrong in the middle of its work: printed as they are, as docker does. */
export class TransferFailure extends Error {
  override readonly name = "TransferFailure";
}

/**
 * Shows messages to their end.
 * @throws TransferFailure when it fails once something was said; what fails before that is thrown as it is.
 */
export async function showAll(
  display: ProgressDisplay,
  messages: AsyncIterable<ProgressMessage>,
): Promise<void> {
  for await (const message of failingPlainly(messages, display)) await display.show(message);
  await display.finish();
}

/** The messages, with failures as `showAll` throws them. The display is finished before one is thrown. */
export async function* failingPlainly(
  messages: AsyncIterable<ProgressMessage>,
  display: ProgressDisplay,
): AsyncGenerator<ProgressMessage> {
  let isBegun = false;
  try {
    for await (const message of messages) {
      const failure = message.errorDetail?.message ?? message.error;
      if (failure !== undefined) throw new TransferFailure(failure);
      isBegun = true;
      yield message;
    }
  } catch (error) {
    await display.finish();
    throw isBegun && error instanceof DavitError
      ? new TransferFailure(error.message, { cause: error })
      : error;
  }
}

function plainDisplay(stream: OutputStream): ProgressDisplay {
  return {
    async show(message) {
      const text = plainLine(message);
      if (text !== "") await stream.write(text);
    },
    note: async () => {},
    finish: async () => {},
  };
}

/** Figures that change are for terminals; what has happened is for all. */
function plainLine(message: ProgressMessage): string {
  if (message.aux !== undefined) return "";
  if (message.progressDetail !== undefined && !isBare(message.progressDetail)) return "";
  return lineOf(message);
}

/** A message as a line of its own. */
function lineOf({ stream, status, id }: ProgressMessage): string {
  if (stream !== undefined && stream !== "") return stream;
  if (status === undefined) return "";
  return id === undefined || id === "" ? `${status}\n` : `${id}: ${status}\n`;
}
