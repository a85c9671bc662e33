/** Cache keys: what a step is, and what goes into it. Nothing of this machine, no times, no secrets. */
import type { DirectoryOperation, FilesOperation, RunOperation } from "../graph/operations.ts";

/** Counts up whenever a step comes to make something else than before. */
const generation = "1";

/** @returns hex */
export function keyOf(parts: readonly unknown[]): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify([generation, ...parts])).digest("hex");
}

/** Keys of steps. `input` and `from` are keys of roots, `content` is what sources come to. */
export const keys = {
  directory: ({ path, user }: DirectoryOperation, input: string) => keyOf(["directory", path, user, input]),
  /** @param mounts of all its mounts, empty for those that show no root */
  run: (operation: RunOperation, input: string, mounts: readonly string[]) =>
    keyOf(["run", runDefinition(operation), input, ...mounts]),
  files: (operation: FilesOperation, content: string, input: string) =>
    keyOf(["files", filesDefinition(operation), content, input]),
  /** Before the files of `from` have been looked at. */
  filesOf: ({ digest }: FilesOperation, input: string, from: string) => keyOf(["files", digest, input, from]),
  /** Of `--link`, on nothing. */
  alone: (operation: FilesOperation, content: string) =>
    keyOf(["alone", filesDefinition(operation), content]),
  linked: (alone: string, input: string) => keyOf(["linked", alone, input]),
};

/** What decides what a RUN makes, besides the file systems that it sees. */
export function runDefinition(operation: RunOperation): unknown {
  const { environment, workingDirectory, user, script, network, security, extraHosts, platform } = operation;
  return {
    arguments: operation.arguments,
    environment,
    workingDirectory,
    user,
    script,
    network,
    security,
    extraHosts,
    platform,
    devices: operation.devices,
    mounts: operation.mounts.map(({ from: _, ...mount }) => mount),
  };
}

/** What decides what a COPY makes, besides the files themselves. */
export function filesDefinition({ destination, chown, chmod, parents, isLinked }: FilesOperation): unknown {
  return { destination, chown, chmod, parents, isLinked };
}
