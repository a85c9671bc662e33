/** Remarks beside a command's result, as docker sets them off. */
import type { Io, OutputStream } from "./io.ts";

const mark = "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m";

/** A remark with an empty line before it. */
export async function printNote(io: Io, stream: OutputStream, text: string): Promise<void> {
  const isPlain = !stream.isTerminal || io.env.TERM === "dumb" || (io.env.NO_COLOR ?? "") !== "";
  const lines = text.split("\n").map((line) => (isPlain ? line : `\x1b[3m${line}\x1b[0m`));
  const first = isPlain ? " Info -> " : mark;
  await stream.write(`\n${first}${lines.join("\n         ")}\n`);
}
