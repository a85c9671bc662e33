/** `GET /system/df`: what images, containers and volumes take of the disk. */

import { hasErrno } from "../../core/errors.ts";
import type { BuildCacheRecord, ContainerSummary, DiskUsage, Volume } from "../../core/objects.ts";
import type { ContentStore } from "../../images/content.ts";
import { listImages } from "../../images/list.ts";
import { imageById } from "../../images/records.ts";
import { statSync } from "../../linux/files.ts";
import type { State } from "../../state/state.ts";
import { allWorking, workingSnapshot } from "../../state/working-containers.ts";
import { allVolumes, describeVolume, usersOf, volumeSize } from "../../volumes/store.ts";
import type { CacheEntry } from "../build.ts";
import { listBuildCache } from "./build-cache.ts";
import { list } from "./list.ts";
import type { Local } from "./local.ts";

/**
 * As Docker counts: the sizes of files, each layer once however many images share it; what a container added to its
 * image; volumes of the local driver without options. The blobs, which Docker does not keep, stand apart.
 */
export async function diskUsage(local: Local): Promise<DiskUsage> {
  const images = await listImages(local, { sharedSize: true, containers: true });
  return {
    LayersSize: layersSize(local.state),
    BlobsSize: blobsSize(local.content),
    Images: images,
    Containers: [...(await list(local, { all: true, size: true })), ...(await workingContainers(local))],
    Volumes: volumes(local.state),
    BuildCache: (await listBuildCache(local)).map(cacheRecord),
  };
}

/** Working containers (engine/working) take room as others do. They show as podman shows them: kept, and never run. */
async function workingContainers(local: Local): Promise<ContainerSummary[]> {
  const made = allWorking(local.state).filter(({ state }) => state.status === "made");
  return await Promise.all(
    made.map(async ({ id, name, created, image, config }) => {
      const { bytes } = await local.snapshots.usage(workingSnapshot(id));
      const base = image === undefined ? undefined : imageById(local.state, image.id);
      return {
        Id: id,
        Names: [`/${name}`],
        Image: image?.name ?? "scratch",
        ImageID: image?.id ?? "",
        Command: "buildah",
        Created: Math.floor(Date.parse(created) / 1000),
        Ports: [],
        SizeRw: bytes,
        SizeRootFs: bytes + (base?.size ?? 0),
        Labels: config.config.Labels ?? {},
        State: "created",
        Status: "Storage",
        HostConfig: { NetworkMode: "default" },
        NetworkSettings: { Networks: {} },
        Mounts: [],
      } satisfies ContainerSummary;
    }),
  );
}

/** Bytes of all layers that images stand on. */
function layersSize(state: State): number {
  const row = state.db
    .query<{ bytes: number }, []>(
      "SELECT coalesce(sum(size), 0) AS bytes FROM layers WHERE chain_id IN (SELECT chain_id FROM image_layers)",
    )
    .get();
  return row?.bytes ?? 0;
}

function blobsSize(content: ContentStore): number {
  return content.list().reduce((sum, digest) => sum + sizeOf(content.blobPath(digest)), 0);
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch (error) {
    // Its image was removed meanwhile.
    if (hasErrno(error, "ENOENT")) return 0;
    throw error;
  }
}

/** A volume with options shows something of elsewhere: Docker leaves it out. */
function volumes(state: State): Volume[] {
  return allVolumes(state)
    .filter(({ options }) => Object.keys(options ?? {}).length === 0)
    .map((volume) => ({
      ...describeVolume(state, volume),
      UsageData: { Size: volumeSize(state, volume.name), RefCount: usersOf(state, volume.name).length },
    }));
}

function cacheRecord(entry: CacheEntry): BuildCacheRecord {
  const time = (milliseconds: number) => new Date(milliseconds).toISOString();
  return {
    ID: entry.id,
    Type: entry.kind === "mount" ? "exec.cachemount" : "regular",
    Description: entry.description,
    // What an image here is made of takes its room there.
    InUse: entry.inUse,
    Shared: entry.inUse,
    Size: entry.size,
    CreatedAt: time(entry.createdAt),
    LastUsedAt: time(entry.usedAt),
    UsageCount: entry.uses,
  };
}
