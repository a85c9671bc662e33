/** What refers to a manifest: signatures, SBOMs. distribution-spec 1.1, "Listing referrers", and its fallback tag. */
import { InvalidParameter } from "../../core/errors.ts";
import type { Digest } from "../../core/ids.ts";
import { parseJson } from "../../images/json.ts";
import { type Descriptor, isIndexType, mediaTypes, parseIndex } from "../../images/manifest.ts";
import { RequestFailure } from "./failures.ts";
import { pages } from "./paging.ts";
import type { Patience } from "./patience.ts";
import type { RemoteDocument } from "./repository.ts";
import { pullScope } from "./scopes.ts";
import type { Session } from "./session.ts";

export interface ReferrersRequest {
  session: Session;
  patience: Patience;
  path: string;
  digest: Digest;
  artifactType: string | undefined;
  /** Fetches the fallback tag. */
  manifest: (tag: string) => Promise<RemoteDocument>;
}

/** A list of more is no list of referrers. */
const mostReferrers = 10_000;

/** @throws RequestFailure, InvalidParameter */
export async function referrers(request: ReferrersRequest): Promise<Descriptor[]> {
  const { session, patience, path, digest, artifactType } = request;
  const query = artifactType === undefined ? "" : `?${new URLSearchParams({ artifactType })}`;
  const found: Descriptor[] = [];
  let isSupported = false;
  for await (const { bytes } of pages(session, {
    target: `v2/${path}/referrers/${digest}${query}`,
    scopes: [pullScope(path)],
    accept: mediaTypes.index,
    patience,
    empty: [400, 404, 405],
  })) {
    isSupported = true;
    // Whether the registry filtered or not: what does not fit is left out.
    found.push(...fitting(bytes, digest, artifactType));
    if (found.length > mostReferrers)
      throw new InvalidParameter(`${digest} has more than ${mostReferrers} referrers`);
  }
  return isSupported ? found : await byTag(request);
}

async function byTag({ digest, artifactType, manifest }: ReferrersRequest): Promise<Descriptor[]> {
  try {
    const document = await manifest(digest.replace(":", "-"));
    return isIndexType(document.mediaType) ? fitting(document.bytes, digest, artifactType) : [];
  } catch (error) {
    if (error instanceof RequestFailure && error.status === 404) return [];
    throw error;
  }
}

function fitting(bytes: Uint8Array, digest: Digest, artifactType: string | undefined): Descriptor[] {
  const what = `referrers of ${digest}`;
  const { manifests } = parseIndex(bytes, what);
  if (artifactType === undefined) return manifests;
  const raw = parseJson(bytes, what)
    .at("manifests")
    .optional((value) => value.array());
  return manifests.filter((_, at) => raw?.[at]?.at("artifactType").raw() === artifactType);
}
