/** How a verb reaches registries and other places of images. */
import { NotImplemented } from "../../core/errors.ts";
import type { Local } from "../local/local.ts";
import { registriesOf } from "../local/registries.ts";
import type { CopyPlaces } from "../transports/copy.ts";
import type { Reach } from "../working.ts";

/** The same instance, for which some registries need no certificate. */
export function reaching(local: Local, { insecure = [] }: Reach): Local {
  if (insecure.length === 0) return local;
  const { registryConfig } = local;
  // What the instance opens when it is first used stays unopened.
  return Object.create(local, {
    registryConfig: { value: { ...registryConfig, insecure: [...registryConfig.insecure, ...insecure] } },
  });
}

export function transportsOf(local: Local, reach: Reach): CopyPlaces {
  const { report, signal } = reach;
  return {
    registries: registriesOf(reaching(local, reach)),
    credentials: reach.credentials ?? (async () => undefined),
    local: { stores: local },
    openDaemon:
      reach.openDaemon ??
      (() => {
        throw new NotImplemented("docker-daemon: cannot be reached from here");
      }),
    scratch: local.instance.dataRoot,
    ...(report === undefined ? {} : { report }),
    ...(signal === undefined ? {} : { signal }),
  };
}
