/** `system check`: src/images/check.ts with this instance's stores and, for repairs, the registries. */
import type { AuthConfig, StorageCheck } from "../../core/objects.ts";
import { checkImages, type FetchBlob } from "../../images/check.ts";
import { mediaTypes } from "../../images/manifest.ts";
import type { Report } from "../../images/progress.ts";
import { parseReference, type Reference } from "../../images/references.ts";
import type { Repository } from "../../registry/client/index.ts";
import type { CredentialSource } from "../engine.ts";
import type { Local } from "./local.ts";

export interface CheckOptions {
  repair?: boolean;
  credentials?: CredentialSource;
  report?: Report;
  signal?: AbortSignal;
}

/** @throws LinuxError ENOSPC where there is no room to unpack a layer once more. */
export async function check(local: Local, options: CheckOptions = {}): Promise<StorageCheck> {
  const repositoryOf = repositories(local, options.credentials ?? (async () => undefined));
  const fetchBlob: FetchBlob = async function* ({ digest, size, isManifest }, name, signal) {
    const repository = await repositoryOf(parseReference(name));
    if (isManifest) yield (await repository.manifest(digest, signal)).bytes;
    else {
      // The records do not say how large a config is.
      const bytes = size ?? (await repository.hasBlob(digest, signal)) ?? 0;
      yield* repository.blob({ mediaType: mediaTypes.layer, digest, size: bytes }, { signal });
    }
  };
  return await checkImages(local, {
    repair: options.repair ?? false,
    fetchBlob,
    report: options.report ?? (() => {}),
    signal: options.signal ?? new AbortController().signal,
  });
}

/** Asks for the credentials of each registry once, and for none before they are needed. */
function repositories(
  local: Local,
  credentials: CredentialSource,
): (reference: Reference) => Promise<Repository> {
  const known = new Map<string, Promise<AuthConfig | undefined>>();
  return async (reference) => {
    const auth = known.get(reference.domain) ?? credentials(reference.domain);
    known.set(reference.domain, auth);
    return local.registries.repository(reference, await auth);
  };
}
