/** Cache keys: what a step is, and what goes into it. Nothing of this machine, no times, no secrets. */
import type { FilesOperation, RunOperation } from "../graph/operations.ts";

/** Counts up whenever a step comes to make something else than before. */
const generation = "1";

/** @returns hex */
export function keyOf(parts: readonly unknown[]): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify([generation, ...parts])).digest("hex");
}

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
    mounts: operation.mounts.map(({ from: _, ...mount }) => mount),
  };
}

/** What decides what a COPY makes, besides the files themselves. */
export function filesDefinition({ destination, chown, chmod, parents, isLinked }: FilesOperation): unknown {
  return { destination, chown, chmod, parents, isLinked };
}
