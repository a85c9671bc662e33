/** The user's credentials, as commands need them. */
import type { AuthConfig } from "../../core/objects.ts";
import { join } from "../../core/paths.ts";
import { existsSync } from "../../linux/files.ts";
import type { Credentials } from "../../registry/credentials/index.ts";
import type { Invocation } from "../command.ts";
import { namedReference } from "../options/references.ts";

/** Opens config.json, or what it names in its place. Nothing is read before it is asked. */
export async function userCredentials({
  io,
  configDirectory,
}: Pick<Invocation, "io" | "configDirectory">): Promise<Credentials> {
  const { openCredentials } = await import("../../registry/credentials/index.ts");
  return openCredentials({ configDirectory, searchPath: io.env.PATH ?? "", environment: io.env });
}

/** What the user has for the registry of a name; an empty object for an option where there is nothing. */
export async function authOption(
  invocation: Pick<Invocation, "io" | "configDirectory">,
  reference: string,
): Promise<{ auth?: AuthConfig }> {
  return await authOfRegistry(invocation, namedReference(reference).domain);
}

/** As an option of a request: empty where the user has no credentials for the registry. */
export async function authOfRegistry(
  invocation: Pick<Invocation, "io" | "configDirectory">,
  registry: string,
): Promise<{ auth?: AuthConfig }> {
  // Who has never logged in has no such file: then nothing is loaded to look into it.
  if (!existsSync(join(invocation.configDirectory, "config.json"))) return {};
  const auth = await (await userCredentials(invocation)).get(registry);
  return auth === undefined ? {} : { auth };
}
