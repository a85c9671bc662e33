/** `--volume` and `--mount` of `run`. */

import { LineFault } from "../../build/dockerfile/errors.ts";
import { parseMount, type RunMount } from "../../build/dockerfile/mounts.ts";
import type { OperationMount } from "../../build/graph/operations.ts";
import type { BuildRooms } from "../../build/rooms.ts";
import type { Root } from "../../build/steps/root.ts";
import { type PreparedMounts, prepareMounts } from "../../build/steps/run-mounts.ts";
import { InvalidParameter } from "../../core/errors.ts";
import { isAbsolute, resolve } from "../../core/paths.ts";
import { statSync } from "../../linux/files.ts";
import { closeFile, openDirectory, openFlag, openInRoot } from "../../linux/paths.ts";
import type { ResolvedMount } from "../../runtime/spec.ts";
import type { WorkingRecord } from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";
import type { WorkingRunRequest } from "../working.ts";
import { holdImage } from "./held-image.ts";

interface MountRequest {
  readonly record: WorkingRecord;
  readonly request: WorkingRunRequest;
  readonly signal: AbortSignal;
}

/** @throws InvalidParameter in Buildah's words */
export async function openMounts(
  local: Local,
  rooms: BuildRooms,
  directory: string,
  { record, request, signal }: MountRequest,
): Promise<PreparedMounts> {
  await using held = new AsyncDisposableStack();
  const base = request.contextDirectory;
  const volumes = [...record.defaults.volumes, ...(request.volumes ?? [])].map((text) =>
    volumeOf(text, base),
  );
  const written = (request.mounts ?? []).map(readMount);
  const binds = written.filter(({ type, from }) => type === "bind" && from === "");
  const others = written.filter((mount) => !binds.includes(mount));
  const roots = new Map<OperationMount, Root>();
  const mounts: OperationMount[] = [];
  for (const mount of others) {
    const { from, target, sharing, ...rest } = mount;
    const asked: OperationMount = {
      ...rest,
      path: target,
      from: undefined,
      sharing: sharing ?? "shared",
      id: mount.id || target,
    };
    if (from !== "") roots.set(asked, held.use(await holdImage(local, from, signal)).root);
    mounts.push(asked);
  }
  const prepared = held.use(
    await prepareMounts(mounts, {
      rooms,
      directory,
      secrets: new Map(),
      agents: new Map(),
      rootOf: (mount) => roots.get(mount),
      signal,
    }),
  );
  const opened = binds.map((mount) => bindOf(mount, base, (fd) => held.defer(() => closeFile(fd))));
  const kept = held.move();
  return {
    mounts: [...volumes, ...opened, ...prepared.mounts],
    environment: prepared.environment,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function readMount(text: string): RunMount {
  const usage =
    "incorrect mount format: should be --mount type=<bind|tmpfs|cache>,[src=<host-dir>,]target=<ctr-dir>[,options]";
  // Options that mean nothing here: labels, and who sees mounts that come later.
  const fields = text
    .split(",")
    .filter((field) => !/^(?:z|Z|relabel=.*|bind-propagation=.*|consistency=.*)$/.test(field));
  try {
    const mount = parseMount(fields.join(","), (word) => word);
    if (mount.type === "secret" || mount.type === "ssh") {
      throw new InvalidParameter(`--mount type=${mount.type} is not supported yet by davit's run: use build`);
    }
    if (!isAbsolute(mount.target)) throw new InvalidParameter(`${JSON.stringify(text)}: ${usage}`);
    return mount;
  } catch (error) {
    if (!(error instanceof LineFault)) throw error;
    throw new InvalidParameter(`${JSON.stringify(text)}: ${usage} (${error.message})`, { cause: error });
  }
}

/** What a bind mount shows does not leave the context directory, where one is given. */
function bindOf(mount: RunMount, base: string, keep: (fd: number) => void): ResolvedMount {
  const { source, target, readOnly } = mount;
  const common = {
    type: "bind" as const,
    destination: target,
    readonly: readOnly,
    readonlyNonRecursive: true,
  };
  if (isAbsolute(source)) return { ...common, source: existing(source) };
  const top = openDirectory(base, openFlag.path);
  try {
    const fd = openInRoot(top, source || ".", openFlag.path);
    keep(fd);
    // For another process.
    return { ...common, source: `/proc/${process.pid}/fd/${fd}` };
  } finally {
    closeFile(top);
  }
}

function existing(source: string): string {
  if (statSync(source, { throwIfNoEntry: false }) === undefined) {
    throw new InvalidParameter(`stat ${source}: no such file or directory`);
  }
  return source;
}

const propagations = ["shared", "rshared", "slave", "rslave", "private", "rprivate"];

/** `source:destination[:options]`; options are separated by commas. */
function volumeOf(text: string, base: string): ResolvedMount {
  const [source = "", destination = "", options = "", ...rest] = text.split(":");
  const wrong = (why: string) => new InvalidParameter(`invalid volume ${JSON.stringify(text)}: ${why}`);
  if (source === "" || destination === "" || rest.length > 0) {
    throw wrong("incorrect volume format, should be host-dir:ctr-dir[:option]");
  }
  if (!isAbsolute(destination)) throw wrong(`container path ${JSON.stringify(destination)} must be absolute`);
  const mount: { -readonly [Key in keyof ResolvedMount]: ResolvedMount[Key] } = {
    type: "bind",
    source: existing(isAbsolute(source) ? source : resolve(base, source)),
    destination,
    readonly: false,
  };
  for (const option of options.split(",").filter((each) => each !== "")) {
    if (option === "ro") mount.readonly = true;
    else if (propagations.includes(option)) mount.propagation = option;
    else if (["rw", "z", "Z", "rbind", "bind"].includes(option)) continue;
    else if (option === "O" || option === "U") throw wrong(`option ${option} is not supported by davit`);
    else throw wrong(`invalid option ${JSON.stringify(option)}`);
  }
  return mount;
}
