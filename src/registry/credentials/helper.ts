/** Programs `docker-credential-<name>` that keep credentials: one verb as argument, JSON on stdin and stdout. */
import { type DavitError, InvalidParameter, SystemFailure, Unavailable } from "../../core/errors.ts";
import type { AuthConfig } from "../../core/objects.ts";
import { type JsonReader, parseJson } from "../../images/json.ts";
import type { CredentialOptions, StoredIn } from "./index.ts";

export interface CredentialHelper {
  readonly place: StoredIn;
  get(key: string): Promise<AuthConfig | undefined>;
  store(key: string, auth: AuthConfig): Promise<void>;
  erase(key: string): Promise<boolean>;
  /** Of the keys that are asked for, or of all that it has. */
  all(keys: readonly string[] | undefined): Promise<Record<string, AuthConfig>>;
}

/** The user name that says that the secret is an identity token. */
const tokenUser = "<token>";
/** What helpers print when they have none; they exit with 1 then. */
const notFound = "credentials not found in native keychain";
const missingUser = "no credentials username";
const missingServer = "no credentials server URL";
const largestOutput = 1024 * 1024;
/** Milliseconds: a helper may wait for a person to unlock a keychain. */
const longestWait = 300_000;

type Verb = "get" | "store" | "erase" | "list";

/** @throws InvalidParameter for a name that is no program's name. */
export function credentialHelper(name: string, options: CredentialOptions): CredentialHelper {
  if (!/^[A-Za-z0-9._-]+$/.test(name)) {
    throw new InvalidParameter(`invalid name of a credential helper: ${JSON.stringify(name.slice(0, 100))}`);
  }
  const program = `docker-credential-${name}`;
  const call = (verb: Verb, input: string) => run(program, verb, input, options);
  const get = async (key: string) => {
    const output = await call("get", key);
    return output === undefined ? undefined : parseCredentials(output, program);
  };
  return {
    place: { kind: "helper", program },
    get,
    store: async (key, auth) => {
      await call("store", JSON.stringify({ ServerURL: key, ...secretOf(auth) }));
    },
    erase: async (key) => (await call("erase", key)) !== undefined,
    all: async (keys) => {
      const wanted = keys ?? Object.keys(parseList(await call("list", "unused"), program));
      const found = await Promise.all(wanted.map(async (key) => [key, await get(key)] as const));
      return Object.fromEntries(
        found.flatMap(([key, auth]) => (auth === undefined ? [] : [[key, { ...auth, serveraddress: key }]])),
      );
    },
  };
}

function secretOf({ username = "", password = "", identitytoken }: AuthConfig): {
  Username: string;
  Secret: string;
} {
  return identitytoken
    ? { Username: tokenUser, Secret: identitytoken }
    : { Username: username, Secret: password };
}

function parseCredentials(output: string, program: string): AuthConfig | undefined {
  const json = parseOutput(output, program);
  const username = json.at("Username").optional((value) => value.string()) ?? "";
  const secret = json.at("Secret").optional((value) => value.string()) ?? "";
  if (username === "" && secret === "") return undefined;
  return username === tokenUser ? { identitytoken: secret } : { username, password: secret };
}

function parseList(output: string | undefined, program: string): Record<string, string> {
  return output === undefined || output === "" ? {} : parseOutput(output, program).stringMap();
}

/** Its output holds secrets, so no part of it is quoted when it is not what it should be. */
function parseOutput(output: string, program: string): JsonReader {
  try {
    return parseJson(output, program);
  } catch (error) {
    if (!(error instanceof InvalidParameter)) throw error;
    throw new SystemFailure(`${program} gave something that is not JSON`);
  }
}

/** What the program printed; undefined when it has no such credentials. @throws SystemFailure with its words. */
async function run(
  program: string,
  verb: Verb,
  input: string,
  { searchPath, environment = {} }: CredentialOptions,
): Promise<string | undefined> {
  const path = Bun.which(program, { PATH: searchPath });
  const failed = (words: string): DavitError =>
    new SystemFailure(`error ${verb === "get" ? "getting" : `in ${verb} of`} credentials - err: ${words}`);
  if (path === null) {
    const words = `exec: "${program}": executable file not found in $PATH`;
    throw new Unavailable(`error getting credentials - err: ${words}, out: \`\``);
  }
  const helper = Bun.spawn([path, verb], {
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...environment, PATH: searchPath },
    timeout: longestWait,
    maxBuffer: largestOutput,
  });
  const [output, complaint, status] = await Promise.all([
    new Response(helper.stdout).text(),
    new Response(helper.stderr).text(),
    helper.exited,
  ]);
  if (status === 0) return output.trim();
  const words = (output.trim() || complaint.trim()).slice(0, 500);
  if (words === notFound || words.startsWith(missingUser) || words.startsWith(missingServer))
    return undefined;
  throw failed(`exit status ${status ?? helper.signalCode}, out: \`${verb === "list" ? "" : words}\``);
}
