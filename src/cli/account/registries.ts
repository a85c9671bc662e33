/** Registries as this command reaches them itself, without an engine in between. */
import type { CredentialSource } from "../../engine/engine.ts";
import type { DeviceLogin } from "../../registry/client/device-login.ts";
import type { Registries } from "../../registry/client/index.ts";
import type { Invocation } from "../command.ts";
import { userCredentials } from "./credentials.ts";

export interface RegistryAccess extends Disposable {
  registries: Registries;
  credentials: CredentialSource;
}

export interface AccessOptions {
  /** Hosts that may be spoken to in the clear, besides those of the configuration. */
  readonly insecure?: readonly string[];
  /** A directory of certificates, in the place of those of the configuration. */
  readonly certificates?: string;
  /** In the place of the user's own. */
  readonly credentials?: CredentialSource;
}

export async function openAccess(
  invocation: Pick<Invocation, "io" | "program" | "configDirectory">,
  { insecure = [], certificates, credentials: given }: AccessOptions = {},
): Promise<RegistryAccess> {
  const { io, program } = invocation;
  const [{ openRegistries }, { configFilesOf, readRegistryConfig }, { version }] = await Promise.all([
    import("../../registry/client/index.ts"),
    import("../../registry/config-file.ts"),
    import("../../core/version.ts"),
  ]);
  const config = readRegistryConfig({ files: configFilesOf(io.env), environment: io.env });
  const registries = openRegistries(
    {
      ...config,
      insecure: [...config.insecure, ...insecure],
      ...(certificates === undefined ? {} : { certificates }),
    },
    { userAgent: `${program}/${version}` },
  );
  const credentials = await userCredentials(invocation);
  return {
    registries,
    credentials: given ?? ((registry) => credentials.get(registry)),
    [Symbol.dispose]: () => registries.close(),
  };
}

/** Docker Hub's login with a browser. */
export async function hubDevice({ io, program }: Pick<Invocation, "io" | "program">): Promise<DeviceLogin> {
  const [{ DeviceLogin }, { configFilesOf, readRegistryConfig }, { version }] = await Promise.all([
    import("../../registry/client/device-login.ts"),
    import("../../registry/config-file.ts"),
    import("../../core/version.ts"),
  ]);
  const config = readRegistryConfig({ files: configFilesOf(io.env), environment: io.env });
  return new DeviceLogin(config, { userAgent: `${program}/${version}` });
}
