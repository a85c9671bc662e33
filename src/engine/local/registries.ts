/** What a LocalEngine asks of registries: the clients of one command, search, login, and what a name leads to. */
import { InvalidParameter } from "../../core/errors.ts";
import { checkFilters, type Filters } from "../../core/filters.ts";
import type {
  AuthConfig,
  AuthResponse,
  DistributionInspect,
  PlatformObject,
  RegistrySearchItem,
} from "../../core/objects.ts";
import { isIndexType, type Platform, parseConfig, parseIndex, parseManifest } from "../../images/manifest.ts";
import { parseReference, withDefaultTag } from "../../images/references.ts";
import type { Local } from "./local.ts";

/** Docker's default. */
const foundAtMost = 25;
const mostFound = 100;

/** @throws InvalidParameter for a filter or limit that is none; what the registry says. */
export async function search(
  local: Local,
  term: string,
  options: { limit?: number; filters?: Filters; auth?: AuthConfig } = {},
): Promise<RegistrySearchItem[]> {
  const limit = options.limit || foundAtMost;
  if (limit < 1 || limit > mostFound) {
    throw new InvalidParameter(`Limit ${limit} is outside the range of [1, ${mostFound}]`);
  }
  const isWanted = searchFilter(options.filters ?? {});
  const found = await local.registries.search(term, {
    limit,
    ...(options.auth === undefined ? {} : { auth: options.auth }),
  });
  return found.filter(isWanted);
}

/** `is-official`, `is-automated`, `stars`. */
function searchFilter(filters: Filters): (item: RegistrySearchItem) => boolean {
  checkFilters(filters, ["is-official", "is-automated", "stars"]);
  const truth = (name: string): boolean | undefined => {
    const [value] = filters[name] ?? [];
    if (value === undefined) return undefined;
    if (["1", "true"].includes(value)) return true;
    if (["0", "false"].includes(value)) return false;
    throw new InvalidParameter(`invalid filter '${name}=${value}'`);
  };
  const [official, automated] = [truth("is-official"), truth("is-automated")];
  const stars = (filters.stars ?? []).map((value) => {
    if (!/^\d+$/.test(value)) throw new InvalidParameter(`invalid filter 'stars=${value}'`);
    return Number(value);
  });
  return (item) =>
    (official === undefined || item.is_official === official) &&
    (automated === undefined || item.is_automated === automated) &&
    stars.every((least) => item.star_count >= least);
}

/** @throws Unauthorized in Docker's words. */
export function login(local: Local, auth: AuthConfig): Promise<AuthResponse> {
  return local.registries.login(auth);
}

/**
 * What a registry says of a name: the descriptor that it leads to, and for which platforms.
 * @throws InvalidParameter, NotFound, Unauthorized
 */
export async function distribution(
  local: Local,
  text: string,
  options: { auth?: AuthConfig } = {},
): Promise<DistributionInspect> {
  const reference = withDefaultTag(parseReference(text));
  const repository = local.registries.repository(reference, options.auth);
  const { bytes, mediaType, digest } = await repository.manifest(reference.digest ?? reference.tag ?? "");
  const descriptor = { mediaType, digest, size: bytes.byteLength };
  if (isIndexType(mediaType)) {
    const { manifests } = parseIndex(bytes, `index ${digest}`);
    const platforms = manifests.flatMap(({ platform }) => (platform === undefined ? [] : [platform]));
    return { Descriptor: descriptor, Platforms: platforms.map(platformObject) };
  }
  const manifest = parseManifest(bytes, `manifest ${digest}`);
  const config = parseConfig(
    await repository.document(manifest.config),
    `image config ${manifest.config.digest}`,
  );
  return { Descriptor: descriptor, Platforms: [platformObject(config)] };
}

function platformObject(platform: Platform): PlatformObject {
  const { architecture, os, variant } = platform;
  const osVersion = platform["os.version"];
  return {
    architecture,
    os,
    ...(osVersion === undefined ? {} : { "os.version": osVersion }),
    ...(variant === undefined ? {} : { variant }),
  };
}
