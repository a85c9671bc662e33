/** Volumes of a LocalEngine. */
import { InvalidParameter } from "../../core/errors.ts";
import type { Volume } from "../../core/objects.ts";
import {
  allVolumes,
  createVolume,
  describeVolume,
  isAnonymous,
  removeUnused,
  removeVolume,
  type StoredVolume,
  usedVolumes,
  type VolumeStore,
  volumeByName,
  volumeSize,
} from "../../volumes/store.ts";
import type { Filters, Volumes } from "../engine.ts";

export function localVolumes(store: VolumeStore): Volumes {
  return {
    create: (request) => createVolume(store, request),
    inspect: async (name) => describeVolume(store.state, volumeByName(store.state, name)),
    remove: (name, options) => removeVolume(store, name, options),
    list: async (filters = {}) => ({ Volumes: list(store, filters), Warnings: null }),
    prune: (filters) => prune(store, filters ?? {}),
  };
}

const listFilters = new Set(["dangling", "driver", "label", "name"]);

function list(store: VolumeStore, filters: Filters): Volume[] {
  checkFilters(filters, listFilters);
  const { dangling, driver, label, name } = filters;
  const used = usedVolumes(store.state);
  const wantsDangling = readBoolean("dangling", dangling);
  return allVolumes(store.state)
    .filter(
      (volume) =>
        (wantsDangling === undefined || wantsDangling !== used.has(volume.name)) &&
        (isEmpty(driver) || (driver ?? []).includes("local")) &&
        (isEmpty(name) || (name ?? []).some((part) => volume.name.includes(part))) &&
        hasLabels(volume, label ?? []),
    )
    .map((volume) => describeVolume(store.state, volume));
}

const pruneFilters = new Set(["all", "label", "label!"]);

async function prune(
  store: VolumeStore,
  filters: Filters,
): Promise<{ VolumesDeleted: string[]; SpaceReclaimed: number }> {
  checkFilters(filters, pruneFilters);
  const all = readBoolean("all", filters.all) === true;
  const used = usedVolumes(store.state);
  const unwanted = allVolumes(store.state).filter(
    (volume) =>
      !used.has(volume.name) &&
      (all || isAnonymous(volume)) &&
      hasLabels(volume, filters.label ?? []) &&
      (isEmpty(filters["label!"]) || !hasLabels(volume, filters["label!"] ?? [])),
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

function checkFilters(filters: Filters, known: ReadonlySet<string>): void {
  for (const name of Object.keys(filters)) {
    if (!known.has(name)) throw new InvalidParameter(`invalid filter '${name}'`);
  }
}

function readBoolean(name: string, values: string[] | undefined): boolean | undefined {
  if (values === undefined || values.length === 0) return undefined;
  if (values.every((value) => value === "true" || value === "1")) return true;
  if (values.every((value) => value === "false" || value === "0")) return false;
  throw new InvalidParameter(`invalid filter '${name}=[${values.join(" ")}]'`);
}

/** Each wanted label is `key` or `key=value`. */
function hasLabels(volume: StoredVolume, wanted: readonly string[]): boolean {
  const labels = volume.labels ?? {};
  return wanted.every((label) => {
    const equals = label.indexOf("=");
    if (equals < 0) return label in labels;
    return labels[label.slice(0, equals)] === label.slice(equals + 1);
  });
}
