/**
 * Credentials as Docker keeps them: `config.json` in the user's configuration directory, or the programs
 * `docker-credential-<name>` that it names. `login`, `logout`, pull and push use it.
 *
 * A registry is named by its host as references write it (`docker.io`, `localhost:5000`) or by what the user gave to
 * `login` (`https://registry.example/v2/`). Docker Hub's entry is `https://index.docker.io/v1/`, as in Docker.
 */

import type { AuthConfig } from "../../core/objects.ts";
import { join } from "../../core/paths.ts";
import { type CredentialFile, openCredentialFile } from "./config.ts";
import { type CredentialHelper, credentialHelper } from "./helper.ts";
import { hubKey, isTokenKey, serverKey } from "./server-key.ts";

export { hubKey, serverKey, tokenKeys } from "./server-key.ts";

/** Where credentials are: config.json in DOCKER_CONFIG, or in `~/.docker`; or a file that stands for it. */
export type CredentialPlace = { configDirectory: string } | { file: string };

export interface HelperOptions {
  /** PATH: where credential helpers are looked for. */
  searchPath: string;
  /** What a credential helper sees beside PATH: HOME, DISPLAY, GNUPGHOME … */
  environment?: Readonly<Record<string, string | undefined>>;
}

export type CredentialOptions = CredentialPlace & HelperOptions;

/** Where `store` put what it was given, for the words of `login`. */
export type StoredIn =
  /** base64 in config.json: readable by anyone who can read the file. */
  { kind: "file"; path: string } | { kind: "helper"; program: string };

export interface Credentials {
  /** Undefined when there are none. `serveraddress` is the key under which they are kept. */
  get(registry: string): Promise<AuthConfig | undefined>;
  /** Keeps them under `auth.serveraddress` (Docker Hub when absent). An identity token takes the password's place. */
  store(auth: AuthConfig): Promise<StoredIn>;
  /** @returns whether there were any. */
  erase(registry: string): Promise<boolean>;
  /** All that are kept, by key; where a helper keeps them, as it lists them. */
  all(): Promise<Record<string, AuthConfig>>;
}

/** @throws InvalidParameter from each method when config.json is not what it should be, naming file and position. */
export function openCredentials(options: CredentialOptions): Credentials {
  const file = openCredentialFile(
    "file" in options ? options.file : join(options.configDirectory, "config.json"),
  );
  const keeper = (key: string): CredentialFile | CredentialHelper => {
    // Tokens lie where the password lies that was made with them.
    const owner = isTokenKey(key) ? hubKey : key;
    const name = file.helperOf(owner);
    return name === undefined ? file : credentialHelper(name, options);
  };
  return {
    get: async (registry) => {
      const key = serverKey(registry);
      const found = await keeper(key).get(key);
      return found === undefined ? undefined : { ...found, serveraddress: key };
    },
    store: async (auth) => {
      const key = serverKey(auth.serveraddress ?? "");
      const place = keeper(key);
      await place.store(key, auth);
      // With a helper, Docker leaves an empty entry in the file: it says that one is logged in there.
      if (place !== file) await file.mark(key);
      return place.place;
    },
    erase: async (registry) => {
      const key = serverKey(registry);
      const place = keeper(key);
      const wasKept = await place.erase(key);
      if (place === file) return wasKept;
      return (await file.erase(key)) || wasKept;
    },
    all: async () => {
      const entries: Record<string, AuthConfig> = { ...file.all() };
      for (const name of file.helpers()) {
        Object.assign(entries, await credentialHelper(name, options).all(file.keysOf(name)));
      }
      return entries;
    },
  };
}
