/** Asks before something is thrown away. */
import type { Io } from "./io.ts";

/** True for y or Y. Without a terminal, too, one line is read. */
export async function confirm(io: Io, warning: string): Promise<boolean> {
  await io.stdout.write(`${warning}\nAre you sure you want to continue? [y/N] `);
  let answer = "";
  for await (const chunk of io.stdin.chunks()) {
    answer += Buffer.from(chunk).toString();
    if (answer.includes("\n") || answer.length > 100) break;
  }
  return /^\s*y\s*$/i.test(answer.split("\n", 1)[0] ?? "");
}
