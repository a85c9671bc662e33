/** Buildah's commands, on working containers. */
import type { CommandEntry, CommandGroup } from "../command.ts";
import { removeImages, tag } from "./images.ts";
import { login, logout } from "./registries.ts";
import { info, version } from "./system.ts";

export const from: CommandEntry = {
  name: "from",
  summary: "Create a working container based on an image",
  load: async () => (await import("../working/from.ts")).from,
};

export const copy: CommandEntry = {
  name: "copy",
  summary: "Copy content into a working container",
  load: async () => (await import("../working/copy.ts")).copy,
};

export const add: CommandEntry = {
  name: "add",
  summary: "Add content to a working container",
  load: async () => (await import("../working/copy.ts")).add,
};

export const config: CommandEntry = {
  name: "config",
  summary: "Update image configuration settings of a working container",
  load: async () => (await import("../working/config.ts")).config,
};

const commitOfBuildah: CommandEntry = {
  name: "commit",
  summary: "Create an image from a working container",
  load: async () => (await import("../working/commit.ts")).commit,
};

export const commit: CommandEntry = {
  ...commitOfBuildah,
  load: async () => (await import("../working/commit.ts")).commitOfDocker,
};

export const mount: CommandEntry = {
  name: "mount",
  summary: "Mount a working container's root filesystem",
  load: async () => (await import("../working/mount.ts")).mount,
};

export const unmount: CommandEntry = {
  name: "umount",
  summary: "Unmount the root filesystem of working containers",
  aliases: ["unmount"],
  load: async () => (await import("../working/mount.ts")).unmount,
};

export const containers: CommandEntry = {
  name: "containers",
  summary: "List working containers and their base images",
  aliases: ["list", "ls", "ps"],
  load: async () => (await import("../working/containers.ts")).containers,
};

const run: CommandEntry = {
  name: "run",
  summary: "Run a command inside of a working container",
  load: async () => (await import("../working/run.ts")).run,
};

const inspect: CommandEntry = {
  name: "inspect",
  summary: "Inspect the configuration of a working container or an image",
  load: async () => (await import("../working/inspect.ts")).inspect,
};

const remove: CommandEntry = {
  name: "rm",
  summary: "Remove one or more working containers",
  aliases: ["delete"],
  load: async () => (await import("../working/remove.ts")).remove,
};

const rename: CommandEntry = {
  name: "rename",
  summary: "Rename a working container",
  load: async () => (await import("../working/rename.ts")).rename,
};

const build: CommandEntry = {
  name: "build",
  summary: "Build an image from a Dockerfile",
  aliases: ["bud", "build-using-dockerfile"],
  load: async () => (await import("../working/build.ts")).build,
};

const images: CommandEntry = {
  name: "images",
  summary: "List images in local storage",
  load: async () => (await import("../working/images.ts")).images,
};

const pull: CommandEntry = {
  name: "pull",
  summary: "Pull an image from the specified location",
  load: async () => (await import("../working/pull.ts")).pull,
};

const push: CommandEntry = {
  name: "push",
  summary: "Push an image to a specified destination",
  load: async () => (await import("../working/push.ts")).push,
};

const unshare: CommandEntry = {
  name: "unshare",
  summary: "Run a command as it would run in a user namespace of Buildah's",
  load: async () => (await import("../working/unshare.ts")).unshare,
};

export const buildah: CommandGroup = {
  name: "buildah",
  summary: "Build images in working containers, with Buildah's commands",
  children: [
    add,
    build,
    commitOfBuildah,
    config,
    containers,
    copy,
    from,
    images,
    info,
    inspect,
    login,
    logout,
    mount,
    pull,
    push,
    rename,
    remove,
    { ...removeImages, name: "rmi", aliases: [] },
    run,
    tag,
    unmount,
    unshare,
    version,
  ],
};
