/** What the manifest commands stand on, and how they fail. */
import { join } from "../../core/paths.ts";
import type { ManifestListPlaces } from "../../engine/transports/manifest-list.ts";
import { openAccess } from "../account/registries.ts";
import type { Invocation } from "../command.ts";
import { plainly } from "../failures.ts";
import { BadValue } from "../flags/values.ts";
import { namedReference } from "../options/references.ts";

export type ManifestLists = typeof import("../../engine/transports/manifest-list.ts");

/** Loaded when there is work for it, and not for a help text. */
export async function manifestLists(): Promise<ManifestLists> {
  return await import("../../engine/transports/manifest-list.ts");
}

/** Where lists are kept until they are pushed, as docker. */
export function listDirectory({ configDirectory }: Pick<Invocation, "configDirectory">): string {
  return join(configDirectory, "manifests");
}

/**
 * Does `work`, whose failures are the command's own: no engine takes part.
 * @param insecure names whose registries may be spoken to in the clear
 */
export async function withPlaces<Result>(
  invocation: Invocation,
  insecure: readonly string[],
  work: (lists: ManifestLists, places: ManifestListPlaces) => Promise<Result>,
): Promise<Result> {
  return await plainly(async () => {
    using access = await openAccess(invocation, { insecure: insecure.flatMap(hostOf) });
    const { registries, credentials } = access;
    const places = { directory: listDirectory(invocation), registries, credentials };
    return await work(await manifestLists(), places);
  });
}

/** None where the name is none: the work says so, in its own words. */
function hostOf(name: string): string[] {
  try {
    return [namedReference(name).domain];
  } catch (error) {
    if (error instanceof BadValue) return [];
    throw error;
  }
}
