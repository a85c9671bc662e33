/**
 * overlay2: each snapshot is an upper directory; mounting stacks it on those of its ancestors.
 *
 *     <data root>/overlay2/<short>/diff     what this snapshot adds, with overlay's own whiteouts
 *                                 /work     overlay's scratch space
 *                                 /merged   where the stack is mounted
 *
 * linux/Documentation/filesystems/overlayfs.rst
 */

import { hasErrno } from "../core/errors.ts";
import { join } from "../core/paths.ts";
import { removeTree } from "../linux/directories.ts";
import { chmodSync, chownSync, mkdirSync } from "../linux/files.ts";
import {
  type FileSystemOption,
  inDirectory,
  isMountPoint,
  mount,
  mountFileSystem,
  unmountIfMounted,
} from "../linux/mounts.ts";
import { statusAt } from "../linux/nodes.ts";
import { atCurrentDirectory, closeFile, openDirectory } from "../linux/paths.ts";
import type { StorageBackend } from "./backend.ts";
import { treeUsage } from "./usage.ts";

/**
 * Options of every mount. Layers must stay plain trees that can be read without a mount and shared between
 * stacks: no redirects, no metadata-only copies, no index of hard links.
 */
const fixedOptions: readonly FileSystemOption[] = [
  ["index", "off"],
  ["metacopy", "off"],
  ["redirect_dir", "nofollow"],
];

/** Tries nothing: `overlay2-probe.ts` tells whether it can work. */
export function overlay2Backend(dataRoot: string): StorageBackend {
  const root = join(dataRoot, "overlay2");
  const part = (directory: string, name: "diff" | "work" | "merged") => join(root, directory, name);

  return {
    driver: "overlay2",
    root,

    create: async (directory, lower) => {
      const top = join(root, directory);
      mkdirSync(top, 0o710);
      mkdirSync(join(top, "diff"), 0o755);
      mkdirSync(join(top, "work"), 0o700);
      mkdirSync(join(top, "merged"), 0o700);
      const parent = lower[0];
      if (parent !== undefined) inheritRoot(part(parent, "diff"), part(directory, "diff"));
    },

    mount: (directory, lower, options) => {
      const target = part(directory, "merged");
      if (isMountPoint(target)) return target;
      // After a volatile mount overlay refuses the next one, as it cannot know whether the machine crashed in
      // between. Whoever asked for `volatile` has said that this does not matter.
      removeTree(join(part(directory, "work"), "work", "incompat", "volatile"));
      try {
        mountStack({ root, directory, lower, volatile: options.volatile }, target);
      } catch (error) {
        // Kernels before 5.10 do not know `volatile`; without it, unmounting takes longer.
        if (!options.volatile || !hasErrno(error, "EINVAL")) throw error;
        mountStack({ root, directory, lower, volatile: false }, target);
      }
      return target;
    },

    freeze: () => {},
    destroy: (directory) => removeTree(join(root, directory)),

    unmount: (directory) => {
      unmountIfMounted(part(directory, "merged"));
    },

    isMounted: (directory) => isMountPoint(part(directory, "merged")),

    rootPath: (directory) => part(directory, "merged"),

    target: (directory, lower) => ({
      path: part(directory, "diff"),
      whiteouts: "overlay",
      lower: lower.map((name) => part(name, "diff")),
    }),

    usage: (directory) => treeUsage(part(directory, "diff")),

    describe: (directory, lower) => ({
      ...(lower.length === 0 ? {} : { LowerDir: lower.map((name) => part(name, "diff")).join(":") }),
      MergedDir: part(directory, "merged"),
      UpperDir: part(directory, "diff"),
      WorkDir: part(directory, "work"),
    }),

    describeDriver: () => {
      const { describeOverlay2 }: typeof import("./overlay2-probe.ts") = require("./overlay2-probe.ts");
      return describeOverlay2(dataRoot);
    },
  };
}

/** The root directory of a stack shows the mode and owner of its topmost layer. */
function inheritRoot(parent: string, child: string): void {
  const { mode, uid, gid } = statusAt(atCurrentDirectory, parent);
  if (uid !== 0 || gid !== 0) chownSync(child, uid, gid);
  if ((mode & 0o7777) !== 0o755) chmodSync(child, mode & 0o7777);
}

interface Stack {
  root: string;
  directory: string;
  lower: readonly string[];
  volatile: boolean;
}

function mountStack(stack: Stack, target: string): void {
  const { root, directory } = stack;
  // A stack needs a lower directory; `merged` is empty as long as nothing is mounted on it.
  const lower =
    stack.lower.length === 0 ? [join(directory, "merged")] : stack.lower.map((name) => `${name}/diff`);
  const flags: FileSystemOption[] = stack.volatile ? [["volatile"]] : [];
  try {
    mountFileSystem("overlay", target, [
      ["source", "overlay"],
      ...lower.map((name): FileSystemOption => ["lowerdir+", join(root, name)]),
      ["upperdir", join(root, directory, "diff")],
      ["workdir", join(root, directory, "work")],
      ...fixedOptions,
      ...flags,
    ]);
  } catch (error) {
    // Kernels before 6.5 know no `lowerdir+`. ENAMETOOLONG, EINVAL: also paths of more than 255 bytes, which fsconfig
    // does not take.
    if (!hasErrno(error, "ENOSYS", "EINVAL", "ENAMETOOLONG", "EPERM")) throw error;
    mountByOptionString(root, lower, directory, flags, target);
  }
}

/** mount(2) takes one page of options: names relative to the driver's root keep 128 layers below that. */
function mountByOptionString(
  root: string,
  lower: readonly string[],
  directory: string,
  flags: readonly FileSystemOption[],
  target: string,
): void {
  const options = [
    `lowerdir=${lower.join(":")}`,
    `upperdir=${directory}/diff`,
    `workdir=${directory}/work`,
    ...[...fixedOptions, ...flags].map((option) => option.join("=")),
  ].join(",");
  const fd = openDirectory(root);
  try {
    inDirectory(fd, () => mount("overlay", target, "overlay", 0, options));
  } finally {
    closeFile(fd);
  }
}
