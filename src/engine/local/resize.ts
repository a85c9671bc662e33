/** The size of a container's terminal. */
import { bundlePath } from "../../core/instance.ts";
import { resizeTerminal } from "../../runtime/attach.ts";
import type { Local } from "./local.ts";
import { requireLive } from "./lookup.ts";

/** Columns and rows. @throws NotFound; Conflict when it does not run */
export async function resize(
  local: Local,
  reference: string,
  size: { height: number; width: number },
): Promise<void> {
  const { record } = requireLive(local, reference);
  resizeTerminal(bundlePath(local.instance, record.id), size);
}
