/** Volumes of a LocalEngine. */
import { checkFilters, type Filters, hasLabels, parseFlag } from "../../core/filters.ts";
import type { Volume } from "../../core/objects.ts";
import {
  allVolumes,
  createVolume,
  describeVolume,
  isAnonymous,
  removeUnused,
  removeVolume,
  usedVolumes,
  type VolumeStore,
  volumeByName,
  volumeSize,
} from "../../volumes/store.ts";
import type { Volumes } from "../engine.ts";

export function localVolumes(store: VolumeStore): Volumes {
  return {
    create: (request) => createVolume(store, request),
    inspect: async (name) => describeVolume(store.state, volumeByName(store.state, name)),
    remove: (name, options) => removeVolume(store, name, options),
    list: async (filters = {}) => ({ Volumes: list(store, filters), Warnings: null }),
    prune: (filters) => prune(store, filters ?? {}),
  };
}

const listFilters = ["dangling", "driver", "label", "name"];

function list(store: VolumeStore, filters: Filters): Volume[] {
  checkFilters(filters, listFilters);
  const { dangling, driver, label, name } = filters;
  const used = usedVolumes(store.state);
  const wantsDangling = readFlag("dangling", dangling);
  return allVolumes(store.state)
    .filter(
      (volume) =>
        (wantsDangling === undefined || wantsDangling !== used.has(volume.name)) &&
        (isEmpty(driver) || (driver ?? []).includes("local")) &&
        (isEmpty(name) || (name ?? []).some((part) => volume.name.includes(part))) &&
        hasLabels(volume.labels ?? {}, label ?? []),
    )
    .map((volume) => describeVolume(store.state, volume));
}

const pruneFilters = ["all", "label", "label!"];

async function prune(
  store: VolumeStore,
  filters: Filters,
): Promise<{ VolumesDeleted: string[]; SpaceReclaimed: number }> {
  checkFilters(filters, pruneFilters);
  const all = readFlag("all", filters.all) === true;
  const used = usedVolumes(store.state);
  const unwanted = allVolumes(store.state).filter(
    (volume) =>
      !used.has(volume.name) &&
      (all || isAnonymous(volume)) &&
      hasLabels(volume.labels ?? {}, filters.label ?? []) &&
      (isEmpty(filters["label!"]) || !hasLabels(volume.labels ?? {}, filters["label!"] ?? [])),
  );
  const sizes = new Map(unwanted.map(({ name }) => [name, volumeSize(store.state, name)]));
  const deleted = await removeUnused(
    store,
    unwanted.map(({ name }) => name),
  );
  return {
    VolumesDeleted: deleted,
    SpaceReclaimed: deleted.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0),
  };
}

function isEmpty(values: string[] | undefined): boolean {
  return values === undefined || values.length === 0;
}

function readFlag(name: string, values: string[] = []): boolean | undefined {
  return values.length === 0 ? undefined : parseFlag(name, values);
}
