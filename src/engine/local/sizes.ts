/** Disk that a container takes: its own layer, and all of its root. */
import { imageById } from "../../images/records.ts";
import type { ContainerRecord } from "../../state/containers.ts";
import type { Local } from "./local.ts";

/** Bytes. */
export async function sizes(
  local: Local,
  record: ContainerRecord,
): Promise<{ SizeRw: number; SizeRootFs: number }> {
  const { bytes } = await local.snapshots.usage(record.id);
  return { SizeRw: bytes, SizeRootFs: bytes + (imageById(local.state, record.imageId)?.size ?? 0) };
}
