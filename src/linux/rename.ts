/** Moving names between open directories. renameat(2). */
import { check, ptr, symbols } from "./libc.ts";
import { pathBytes } from "./paths.ts";

/** Replaces what is at the target, as rename(2) does. */
export function renameAt(fromDirectory: number, from: string, toDirectory: number, to: string): void {
  const source = pathBytes(from);
  const target = pathBytes(to);
  check(symbols.renameat(fromDirectory, ptr(source), toDirectory, ptr(target)), "rename", from);
}
