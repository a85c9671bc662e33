/** Where a registry keeps its content. */
import { join, resolve } from "../../core/paths.ts";
import type { FlagSet, Option } from "../flags/flag-set.ts";
import type { Io } from "../io.ts";

export function rootFlag(flags: FlagSet): Option<string> {
  return flags.string("root", "Directory of the registry's content", {
    shownDefault: '"/var/lib/davit-registry"',
  });
}

/** As given; else /var/lib/davit-registry for root, and a directory of their own for other users. */
export function rootOf(option: Option<string>, io: Io): string {
  if (option.value !== "") return resolve(io.cwd, option.value);
  if (process.geteuid?.() === 0) return "/var/lib/davit-registry";
  const data = io.env.XDG_DATA_HOME || join(io.env.HOME || "/tmp", ".local", "share");
  return join(data, "davit-registry");
}
