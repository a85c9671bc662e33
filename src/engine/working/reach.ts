/** How a verb reaches registries and other places of images. */
import { NotImplemented } from "../../core/errors.ts";
import { openRegistries, type Registries } from "../../registry/client/index.ts";
import { type Local, registryOptions } from "../local/local.ts";
import type { CopyPlaces } from "../transports/copy.ts";
import type { Reach } from "../working.ts";

/** The same instance, for which some registries need no certificate, or with other certificates. */
export function reaching(local: Local, { insecure = [], certificates }: Reach): Local {
  if (insecure.length === 0 && certificates === undefined) return local;
  const { registryConfig: usual } = local;
  const registryConfig = {
    ...usual,
    insecure: [...usual.insecure, ...insecure],
    ...(certificates === undefined ? {} : { certificates }),
  };
  let registries: Registries | undefined;
  // What the instance opens when it is first used stays unopened.
  return Object.create(local, {
    registryConfig: { value: registryConfig },
    registries: {
      get: () => {
        registries ??= openRegistries(registryConfig, registryOptions);
        return registries;
      },
    },
  });
}

export function transportsOf(local: Local, reach: Reach): CopyPlaces {
  const { report, signal } = reach;
  return {
    registries: reaching(local, reach).registries,
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
