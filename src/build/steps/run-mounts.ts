/** What `RUN --mount` shows in the container, as mounts of files on this host. */

import { hasErrno, InvalidParameter } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import { chmodSync, chownSync, readlinkSync, writeFileSync } from "../../linux/files.ts";
import { closeFile, descriptorPath, openDirectory, openFlag, openInRoot } from "../../linux/paths.ts";
import type { ResolvedMount } from "../../runtime/spec.ts";
import { takeCacheDirectory } from "../cache/mounts.ts";
import type { OperationMount } from "../graph/operations.ts";
import type { BuildRooms } from "../rooms.ts";
import { StepFailure } from "./failure.ts";
import { mountAside } from "./layer.ts";
import type { Root } from "./root.ts";

/** Loaded when a step wants an agent. */
const ssh = (): typeof import("./ssh.ts") => require("./ssh.ts");

export interface MountSources {
  readonly rooms: BuildRooms;
  /** Private to this step, on this host. */
  readonly directory: string;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  /** Sockets of agents. */
  readonly agents: ReadonlyMap<string, string>;
  /** What the operation of a mount has made. */
  readonly rootOf: (mount: OperationMount) => Root | undefined;
  readonly signal: AbortSignal;
}

export interface PreparedMounts extends AsyncDisposable {
  readonly mounts: readonly ResolvedMount[];
  /** `NAME=value` of secrets. */
  readonly environment: readonly string[];
}

/** @throws StepFailure, InvalidParameter for what is required and not there */
export async function prepareMounts(
  mounts: readonly OperationMount[],
  sources: MountSources,
): Promise<PreparedMounts> {
  await using held = new AsyncDisposableStack();
  const resolved: ResolvedMount[] = [];
  const environment: string[] = [];
  for (const [position, mount] of mounts.entries()) {
    const place = join(sources.directory, `mount-${position}`);
    switch (mount.type) {
      case "bind":
        resolved.push(await bindMount(mount, sources, held));
        break;
      case "cache":
        resolved.push(await cacheMount(mount, sources, held));
        break;
      case "tmpfs":
        resolved.push({
          ...common(mount),
          type: "tmpfs",
          source: "",
          options: mount.size > 0 ? [`size=${mount.size}`] : [],
        });
        break;
      case "secret":
        await secretMount(mount, sources, place, resolved, environment);
        break;
      case "ssh":
        await sshMount(mount, sources, place, { resolved, environment, held });
    }
  }
  const kept = held.move();
  return { mounts: resolved, environment, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function common({
  path,
  readOnly,
}: OperationMount): Pick<ResolvedMount, "destination" | "readonly" | "readonlyNonRecursive"> {
  if (path === undefined) throw new InvalidParameter("a mount needs a target");
  // Nothing is mounted below; and crun takes a recursive one for a directory, whatever it is.
  return { destination: path, readonly: readOnly, readonlyNonRecursive: true };
}

async function bindMount(
  mount: OperationMount,
  { rooms, rootOf }: MountSources,
  held: AsyncDisposableStack,
): Promise<ResolvedMount> {
  const root = rootOf(mount) ?? { key: "", fileTime: 0n, layers: [] };
  const aside = held.use(await mountAside(rooms, root));
  return { ...common(mount), type: "bind", source: realPath(aside.path, mount.source) };
}

/** Where a path inside a mounted root leads, without links. The root is ours alone: nobody changes it meanwhile. */
function realPath(root: string, path: string): string {
  const top = openDirectory(root, openFlag.path);
  try {
    const fd = openInRoot(top, path.replace(/^\/+/, "") || ".", openFlag.path);
    try {
      return readlinkSync(descriptorPath(fd));
    } finally {
      closeFile(fd);
    }
  } catch (error) {
    if (!hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
    throw new StepFailure(
      `failed to compute cache key: failed to calculate checksum: ${JSON.stringify(path)}: not found`,
    );
  } finally {
    closeFile(top);
  }
}

async function cacheMount(
  mount: OperationMount,
  { rooms, rootOf, signal }: MountSources,
  held: AsyncDisposableStack,
): Promise<ResolvedMount> {
  const taken = held.use(
    await takeCacheDirectory(rooms, {
      id: mount.id,
      sharing: mount.sharing,
      mode: mount.mode ?? 0o755,
      uid: mount.uid ?? 0,
      gid: mount.gid ?? 0,
      fill: async () => {
        const root = rootOf(mount);
        if (root === undefined) return undefined;
        const aside = await mountAside(rooms, root);
        return {
          path: aside.path,
          source: mount.source,
          [Symbol.asyncDispose]: () => aside[Symbol.asyncDispose](),
        };
      },
      signal,
    }),
  );
  return { ...common(mount), type: "bind", source: taken.path };
}

async function secretMount(
  mount: OperationMount,
  { secrets }: MountSources,
  place: string,
  resolved: ResolvedMount[],
  environment: string[],
): Promise<void> {
  const content = secrets.get(mount.id);
  if (content === undefined) {
    if (mount.required) throw new StepFailure(`secret ${mount.id}: not found`);
    return;
  }
  if (mount.env !== undefined) environment.push(`${mount.env}=${Buffer.from(content).toString("utf8")}`);
  if (mount.path === undefined) return;
  writeFileSync(place, content, { mode: 0o400, flag: "wx" });
  chownSync(place, mount.uid ?? 0, mount.gid ?? 0);
  chmodSync(place, mount.mode ?? 0o400);
  resolved.push({ ...common(mount), type: "bind", source: place, readonly: true });
}

async function sshMount(
  mount: OperationMount,
  { agents }: MountSources,
  place: string,
  into: { resolved: ResolvedMount[]; environment: string[]; held: AsyncDisposableStack },
): Promise<void> {
  const socket = agents.get(mount.id);
  if (socket === undefined) {
    if (mount.required) throw new StepFailure(`unset ssh forward key ${mount.id}`);
    return;
  }
  into.held.use(ssh().forwardAgent(place, socket));
  chownSync(place, mount.uid ?? 0, mount.gid ?? 0);
  chmodSync(place, mount.mode ?? 0o600);
  const number = into.environment.filter((entry) => entry.startsWith("SSH_AUTH_SOCK=")).length;
  const destination = mount.path ?? `/run/buildkit/ssh_agent.${number}`;
  into.resolved.push({ type: "bind", source: place, destination, readonly: false });
  if (number === 0) into.environment.push(`SSH_AUTH_SOCK=${destination}`);
}
