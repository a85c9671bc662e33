/**
 * Makes a container: its name, its writable snapshot on the image, its volumes, its record. Nothing runs yet.
 * The record begins as `creating`, which nobody sees, and becomes `created` in the transaction that ends the
 * intent; a crash before that is undone by repair.
 */

import { Conflict, InvalidParameter, NotFound } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import { type ContainerId, newContainerId, shortId } from "../../core/ids.ts";
import { containerDataPath } from "../../core/instance.ts";
import type {
  ContainerConfig,
  ContainerCreateRequest,
  ContainerCreateResponse,
  HostConfig,
} from "../../core/objects.ts";
import { parsePlatform } from "../../images/platform.ts";
import { imageById } from "../../images/records.ts";
import { resolveImage } from "../../images/resolve.ts";
import { platformWarning } from "../../images/variants.ts";
import { mkdirSync } from "../../linux/files.ts";
import { hostName } from "../../linux/machine.ts";
import { formatNetworkMode, parseNetworkMode } from "../../network/mode.ts";
import { chooseCapabilities } from "../../runtime/capabilities.ts";
import { prepareCgroupMove } from "../../runtime/cgroups.ts";
import { checkResources } from "../../runtime/resources.ts";
import { parseSecurityOptions } from "../../runtime/security-options.ts";
import {
  beginOperation,
  type ContainerRecord,
  containerByName,
  endOperation,
  insertContainer,
  never,
  updateContainer,
} from "../../state/containers.ts";
import { appendEvent, ringBell } from "../../state/events.ts";
import { lock } from "../../state/locks.ts";
import { prepareMounts } from "../../volumes/mounts.ts";
import { cleanWorkingDirectory, commandLine, mergeConfig, verifyConfig } from "./configuration.ts";
import { containerEvent, type Local, timestamp } from "./local.ts";
import { findContainer } from "./lookup.ts";
import { makeUpName, parseContainerName } from "./names.ts";
import { discard } from "./remove.ts";
import { volumeStore } from "./volume-store.ts";

/**
 * @throws InvalidParameter for a request that cannot be, NotFound for its image, Conflict for a name that is
 * taken
 */
export async function create(
  local: Local,
  request: ContainerCreateRequest,
  options: { name?: string; platform?: string } = {},
): Promise<ContainerCreateResponse> {
  const name = options.name ? parseContainerName(options.name) : undefined;
  if (!request.Image) throw new InvalidParameter("no image specified");
  // Most containers are started right after: the kernel's wait for that begins now, beside everything else.
  void prepareCgroupMove(local.cgroups);
  const platform = options.platform ? parsePlatform(options.platform) : undefined;
  const image = resolveImage(local.state, local.content, request.Image, platform);
  const config = mergeConfig(request, image.config.config ?? {});
  const asked = request.HostConfig ?? {};
  verifyConfig(config, asked);
  verifySecurity(local, asked);
  const checked = checkResources(asked, local.cgroups, () => local.host().cpus);
  const id = newContainerId();
  const hostConfig = { ...asked, ...checked.resources, NetworkMode: networkMode(local, config, asked) };
  await verifyPorts(hostConfig);
  const runtime = local.runtime(asked.Runtime || undefined);

  const record: ContainerRecord = {
    id,
    name: "",
    created: timestamp(),
    imageId: image.id,
    imageName: request.Image,
    platform: image.os,
    driver: local.snapshots.driver,
    config: { ...config, Hostname: hostnameOf(local, id, config, hostConfig), Image: request.Image },
    hostConfig: { ...hostConfig, Runtime: runtime.name },
    networking: request.NetworkingConfig ?? {},
    ...commandLine(config),
    mounts: [],
    plan: [],
    state: { status: "creating" },
    startedAt: never,
    finishedAt: never,
    exitCode: 0,
    oomKilled: false,
    error: "",
    restartCount: 0,
    restartDelay: 0,
    stoppedByUser: false,
    runtime: runtime.name,
  };
  if (config.WorkingDir) record.config.WorkingDir = cleanWorkingDirectory(config.WorkingDir);

  using _ = await lock(local.instance, `container-${id}`);
  claim(local, record, name);
  try {
    faultPoint("create:claimed");
    await local.snapshots.prepare(id, image.topChainId);
    faultPoint("create:snapshot");
    mkdirSync(containerDataPath(local.instance, id), { recursive: true, mode: 0o710 });
    const plan = await prepareMounts(volumeStore(local), {
      containerId: id,
      config: record.config,
      hostConfig: record.hostConfig,
      planOf: (reference) => findContainer(local.state, reference).plan,
    });
    record.mounts = plan.points;
    record.plan = plan.mounts;
    faultPoint("create:mounts");
  } catch (error) {
    await discard(local, record);
    throw error;
  }
  record.state = { status: "created" };
  local.state.transaction(() => {
    updateContainer(local.state, record);
    endOperation(local.state, id);
    appendEvent(local.state, containerEvent(record, "create"));
  });
  faultPoint("create:recorded");
  ringBell(local.instance);
  const foreign = platform === undefined ? platformWarning(image.platform) : undefined;
  return { Id: id, Warnings: [...checked.warnings, ...(foreign === undefined ? [] : [foreign])] };
}

/** @throws InvalidParameter for capabilities, options and devices that there are not. */
function verifySecurity(local: Local, host: HostConfig): void {
  parseSecurityOptions(host.SecurityOpt ?? []);
  chooseCapabilities({
    add: host.CapAdd ?? [],
    drop: host.CapDrop ?? [],
    privileged: host.Privileged === true,
    available: local.host().capabilities,
  });
}

/** Writes the intent and takes the name, in one transaction. @throws Conflict when the name is taken. */
function claim(local: Local, record: ContainerRecord, asked: string | undefined): void {
  local.state.transaction(() => {
    record.name = asked ?? makeUpName((name) => containerByName(local.state, name) !== undefined);
    // Removed since it was found: from here on the record keeps it.
    if (imageById(local.state, record.imageId) === undefined) {
      throw new NotFound(`No such image: ${record.imageName}`);
    }
    const holder = containerByName(local.state, record.name);
    if (holder !== undefined) throw nameTaken(record.name, holder.id);
    beginOperation(local.state, { containerId: record.id, verb: "create", owner: local.me });
    insertContainer(local.state, record);
  });
}

/** Docker's words. */
export function nameTaken(name: string, holder: ContainerId): Conflict {
  return new Conflict(
    `Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
  );
}

/** The mode with a container's name made into its id, so that a rename does not matter. */
function networkMode(local: Local, config: ContainerConfig, host: HostConfig): string {
  const mode = parseNetworkMode(host.NetworkMode);
  if (mode.kind !== "container") return formatNetworkMode(mode);
  if (config.Hostname) throw new InvalidParameter("conflicting options: hostname and the network mode");
  if (host.PortBindings && Object.keys(host.PortBindings).length > 0) {
    throw new InvalidParameter("conflicting options: port publishing and the container type network mode");
  }
  return formatNetworkMode({ ...mode, container: findContainer(local.state, mode.container).id });
}

function hostnameOf(local: Local, id: ContainerId, config: ContainerConfig, host: HostConfig): string {
  const mode = parseNetworkMode(host.NetworkMode);
  if (mode.kind === "container") {
    return findContainer(local.state, mode.container).config.Hostname ?? "";
  }
  if (config.Hostname) return config.Hostname;
  return mode.kind === "host" ? hostName() : shortId(id);
}

async function verifyPorts({ PortBindings }: HostConfig): Promise<void> {
  if (Object.keys(PortBindings ?? {}).length === 0) return;
  (await import("../../network/ports.ts")).checkPortBindings(PortBindings);
}
