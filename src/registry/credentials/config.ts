/**
 * `config.json` of Docker's command line: `auths`, `credHelpers` and `credsStore`. Everything else in it belongs to others
 * and is kept as it is.
 */

import { hasErrno, InvalidParameter } from "../../core/errors.ts";
import { randomId } from "../../core/ids.ts";
import type { AuthConfig } from "../../core/objects.ts";
import { dirname, join } from "../../core/paths.ts";
import type { JsonReader } from "../../images/json.ts";
import { chmodSync, mkdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from "../../linux/files.ts";
import { descriptorPath, OpenFile, openFlag, openReading } from "../../linux/paths.ts";
import { parseJsonFile } from "../json-file.ts";
import type { StoredIn } from "./index.ts";
import { hostOfKey } from "./server-key.ts";

export interface CredentialFile {
  readonly place: StoredIn;
  /** Name of the helper that keeps a key's credentials: its own, else the general one, else that of its host. */
  helperOf(key: string): string | undefined;
  /** Names of all helpers. */
  helpers(): string[];
  /** Keys that a helper is for; undefined for the general one, which is for all others. */
  keysOf(helper: string): readonly string[] | undefined;
  get(key: string): Promise<AuthConfig | undefined>;
  store(key: string, auth: AuthConfig): Promise<void>;
  /** Leaves an entry without credentials. */
  mark(key: string): Promise<void>;
  erase(key: string): Promise<boolean>;
  all(): Record<string, AuthConfig>;
}

/** Maps, because keys come from outside: a registry may be called `__proto__`. */
interface Contents {
  /** All of the file, for being written again. */
  document: Record<string, unknown>;
  auths: Map<string, Record<string, unknown>>;
  credHelpers: Map<string, string>;
  credsStore: string | undefined;
}

/** Read anew by each method: another process may have written it. */
export function openCredentialFile(path: string): CredentialFile {
  const isSame = (key: string) => (other: string) => other === key || hostOfKey(other) === hostOfKey(key);
  const change = (edit: (auths: Contents["auths"]) => void) => {
    const { document, auths } = read(path);
    edit(auths);
    write(path, { ...document, auths: Object.fromEntries(auths) });
  };
  return {
    place: { kind: "file", path },
    helperOf: (key) => {
      const { credHelpers, credsStore } = read(path);
      return credHelpers.get(key) ?? (credsStore || credHelpers.get(hostOfKey(key)));
    },
    helpers: () => {
      const { credHelpers, credsStore } = read(path);
      return [...new Set([...credHelpers.values(), ...(credsStore ? [credsStore] : [])])];
    },
    keysOf: (helper) => {
      const { credHelpers, credsStore } = read(path);
      if (helper === credsStore) return undefined;
      return [...credHelpers].flatMap(([key, name]) => (name === helper ? [key] : []));
    },
    get: async (key) => {
      const { auths } = read(path);
      const found = auths.get(key) ?? auths.get([...auths.keys()].find(isSame(key)) ?? key);
      return found === undefined ? undefined : parseEntry(found, key, path);
    },
    store: async (key, auth) => change((auths) => auths.set(key, entryOf(auth))),
    mark: async (key) => change((auths) => auths.set(key, {})),
    erase: async (key) => {
      const kept = [...read(path).auths.keys()].filter(isSame(key));
      if (kept.length === 0) return false;
      change((auths) => {
        for (const other of kept) auths.delete(other);
      });
      return true;
    },
    all: () => {
      const found = [...read(path).auths].flatMap(([key, entry]) => {
        const auth = parseEntry(entry, key, path);
        return auth === undefined ? [] : [[key, auth] as const];
      });
      return Object.fromEntries(found);
    },
  };
}

function read(path: string): Contents {
  const json = parseJsonFile(path);
  if (json === undefined)
    return { document: {}, auths: new Map(), credHelpers: new Map(), credsStore: undefined };
  const fields = (value: JsonReader) =>
    Object.fromEntries(value.entries().map(([name, field]) => [name, field.raw()]));
  const auths = json.at("auths").optional((value) => value.entries()) ?? [];
  return {
    document: fields(json),
    auths: new Map(auths.map(([key, value]) => [key, fields(value)])),
    credHelpers: new Map(Object.entries(json.at("credHelpers").optional((value) => value.stringMap()) ?? {})),
    credsStore: json.at("credsStore").optional((value) => value.string()),
  };
}

/** Undefined for an entry that says only that a helper has the credentials. @throws InvalidParameter */
function parseEntry(entry: Record<string, unknown>, key: string, path: string): AuthConfig | undefined {
  const text = (name: string) => {
    const value = entry[name] ?? "";
    if (typeof value !== "string")
      throw new InvalidParameter(`${path}: auths: ${key}: ${name} is not a string`);
    return value;
  };
  const auth: AuthConfig = { serveraddress: key };
  const userAndPassword = Buffer.from(text("auth"), "base64").toString().replace(/\0+$/, "");
  const colon = userAndPassword.indexOf(":");
  if (text("auth") !== "" && colon < 0)
    throw new InvalidParameter(`${path}: Invalid auth configuration file`);
  const username = colon < 0 ? text("username") : userAndPassword.slice(0, colon);
  const password = colon < 0 ? text("password") : userAndPassword.slice(colon + 1);
  if (username !== "") Object.assign(auth, { username, password });
  if (text("identitytoken") !== "") auth.identitytoken = text("identitytoken");
  if (text("registrytoken") !== "") auth.registrytoken = text("registrytoken");
  return auth.username || auth.identitytoken || auth.registrytoken ? auth : undefined;
}

/** As Docker writes it: with an identity token the user has an empty password. */
function entryOf(auth: AuthConfig): Record<string, string> {
  const { username = "", password = "", identitytoken, registrytoken } = auth;
  const secret = identitytoken ? "" : password;
  return {
    auth: auth.auth && username === "" ? auth.auth : Buffer.from(`${username}:${secret}`).toString("base64"),
    ...(identitytoken ? { identitytoken } : {}),
    ...(registrytoken ? { registrytoken } : {}),
  };
}

/** All of it or nothing, for nobody else to read. A symbolic link stays one: its target is replaced. */
function write(path: string, document: Record<string, unknown>): void {
  const target = targetOf(path);
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  const temporary = join(dirname(target), `.config.json.${randomId().slice(0, 12)}`);
  try {
    writeFileSync(temporary, `${JSON.stringify(document, undefined, "\t")}`, {
      mode: 0o600,
      flag: "wx",
      flush: true,
    });
    chmodSync(temporary, 0o600);
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function targetOf(path: string): string {
  try {
    using file = new OpenFile(openReading(path, openFlag.path));
    return readlinkSync(descriptorPath(file.fd));
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return path;
    throw error;
  }
}
