/** Credentials in a file that somebody names: containers-auth.json(5), which is config.json with more kinds of keys. */
import type { AuthConfig } from "../../core/objects.ts";
import { openCredentialFile } from "./config.ts";
import { openCredentials } from "./index.ts";
import { serverKey } from "./server-key.ts";

export interface AuthFileOptions {
  readonly path: string;
  /** PATH: where credential helpers are looked for. */
  readonly searchPath: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * What the file has for a registry. Of entries for parts of it (`quay.io/team`) the one that says most of the
 * repository's path counts.
 * @throws InvalidParameter when the file is not what it should be
 */
export async function authFromFile(
  registry: string,
  repository: string,
  { path, searchPath, environment }: AuthFileOptions,
): Promise<AuthConfig | undefined> {
  const kept = openCredentialFile(path).all();
  for (let scope = `${registry}/${repository}`; scope !== ""; scope = parentOf(scope)) {
    const found = Object.hasOwn(kept, scope) ? kept[scope] : undefined;
    if (found !== undefined) return { ...found, serveraddress: serverKey(registry) };
  }
  // An entry for a part is none for the whole.
  const keys = Object.keys(kept).filter((key) => serverKey(key) === serverKey(registry));
  if (keys.length > 0 && keys.every(isPart)) return undefined;
  return openCredentials({ file: path, searchPath, environment }).get(registry);
}

function parentOf(scope: string): string {
  return scope.slice(0, Math.max(scope.lastIndexOf("/"), 0));
}

/** `host/path`; what older clients wrote as an address is not. */
function isPart(key: string): boolean {
  return !key.includes("://") && key.includes("/");
}
