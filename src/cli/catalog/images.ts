/** Commands that act on images. */
import type { CommandEntry } from "../command.ts";

export const copyImage: CommandEntry = {
  name: "copy",
  summary: "Copy an image from any place to any other",
  load: async () => (await import("../image/copy.ts")).copy,
};

export const diffImages: CommandEntry = {
  name: "diff",
  summary: "Show the paths in which the file systems of two images differ",
  load: async () => (await import("../image/diff.ts")).diff,
};

export const history: CommandEntry = {
  name: "history",
  summary: "Show the history of an image",
  load: async () => (await import("../image/history.ts")).history,
};

export const importImage: CommandEntry = {
  name: "import",
  summary: "Import the contents from a tarball to create a filesystem image",
  load: async () => (await import("../image/import.ts")).importImage,
};

export const inspectImage: CommandEntry = {
  name: "inspect",
  summary: "Display detailed information on one or more images",
  load: async () => (await import("../system/inspect.ts")).inspectImages,
};

export const layersOfImage: CommandEntry = {
  name: "layers",
  summary: "Show what each layer of an image adds, changes, removes and wastes",
  load: async () => (await import("../image/layers.ts")).layers,
};

export const load: CommandEntry = {
  name: "load",
  summary: "Load an image from a tar archive or STDIN",
  load: async () => (await import("../image/load.ts")).load,
};

export const listImages: CommandEntry = {
  name: "ls",
  summary: "List images",
  aliases: ["list"],
  load: async () => (await import("../image/list.ts")).list,
};

export const pruneImages: CommandEntry = {
  name: "prune",
  summary: "Remove unused images",
  load: async () => (await import("../image/prune.ts")).prune,
};

export const pull: CommandEntry = {
  name: "pull",
  summary: "Download an image from a registry",
  load: async () => (await import("../image/pull.ts")).pull,
};

export const push: CommandEntry = {
  name: "push",
  summary: "Upload an image to a registry",
  load: async () => (await import("../image/push.ts")).push,
};

export const removeImages: CommandEntry = {
  name: "rm",
  summary: "Remove one or more images",
  aliases: ["remove"],
  load: async () => (await import("../image/remove.ts")).remove,
};

export const save: CommandEntry = {
  name: "save",
  summary: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  load: async () => (await import("../image/save.ts")).save,
};

export const tag: CommandEntry = {
  name: "tag",
  summary: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  load: async () => (await import("../image/tag.ts")).tag,
};
