/** Events of images, with the attributes that Docker gives: the image's labels, and a name. */
import type { ImageId } from "../core/ids.ts";
import type { ContainerConfig } from "../core/objects.ts";
import type { NewEvent } from "../state/events.ts";

export type ImageAction = "delete" | "import" | "load" | "pull" | "push" | "save" | "tag" | "untag";

/** @param name for `tag` the new name; for all others the id again. */
export function imageEvent(
  action: ImageAction,
  id: ImageId,
  config: ContainerConfig,
  name: string = id,
): NewEvent {
  return { Type: "image", Action: action, Actor: { ID: id, Attributes: { ...config.Labels, name } } };
}
