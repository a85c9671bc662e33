/** Flags that several of Buildah's commands share. */
import type { AuthConfig } from "../../core/objects.ts";
import { resolve } from "../../core/paths.ts";
import type { Reach } from "../../engine/working.ts";
import { existsSync } from "../../linux/files.ts";
import { authOfRegistry } from "../account/credentials.ts";
import type { Invocation } from "../command.ts";
import type { FlagSet } from "../flags/flag-set.ts";
import type { Io } from "../io.ts";
import { namedReference } from "../options/references.ts";
import { failure } from "./failures.ts";

/** Flags that scripts give and that change nothing here. */
export function accepted(
  flags: FlagSet,
  names: { readonly strings?: readonly string[]; readonly bools?: readonly string[] },
): void {
  for (const name of names.strings ?? []) flags.string(name, "Accepted for scripts", { hidden: true });
  for (const name of names.bools ?? []) flags.bool(name, "Accepted for scripts", { hidden: true });
}

/** Known to Buildah, and not to be had here. */
export function unsupported(flags: FlagSet, names: readonly string[]): void {
  for (const name of names) flags.string(name, "As buildah's", { unsupported: true });
}

/** `--creds`, `--tls-verify` and their like. @returns what a verb reaches registries with */
export function reachFlags(flags: FlagSet): (invocation: Invocation, image: string) => Reach {
  const creds = flags.string("creds", "Use [username[:password]] for accessing the registry", {
    kind: "[username[:password]]",
  });
  const verify = flags.bool(
    "tls-verify",
    "Require HTTPS and verify certificates when accessing the registry",
    {
      initial: true,
    },
  );
  accepted(flags, { strings: ["retry", "retry-delay", "signature-policy"] });
  const authFile = flags.string("authfile", "Path of the authentication file, in the place of config.json");
  const certDir = flags.string("cert-dir", "Use certificates at the specified path to access the registry");
  unsupported(flags, ["decryption-key", "encryption-key", "encrypt-layer", "sign-by"]);
  return (invocation, image) => {
    const { io } = invocation;
    const file = authFileOf(io, authFile.value);
    const auth = creds.value === "" ? undefined : authOf(creds.value);
    return {
      credentials: async (registry) => {
        if (auth !== undefined) return { ...auth, serveraddress: registry };
        return file === undefined
          ? (await authOfRegistry(invocation, registry)).auth
          : await authIn(io, file, registry, image);
      },
      insecure: verify.value ? [] : registryOf(image),
      ...(certDir.value === "" ? {} : { certificates: resolve(io.cwd, certDir.value) }),
      openDaemon: async () => (await import("../image/copy.ts")).openDaemon(invocation),
    };
  };
}

/** REGISTRY_AUTH_FILE is obeyed where no flag is given. @throws CommandError in Buildah's words */
function authFileOf({ env, cwd }: Io, given: string): string | undefined {
  const named = given || env.REGISTRY_AUTH_FILE || "";
  if (named === "") return undefined;
  const path = resolve(cwd, named);
  if (existsSync(path)) return path;
  throw failure(`checking authfile: stat ${named}: no such file or directory`);
}

async function authIn(
  io: Io,
  path: string,
  registry: string,
  image: string,
): Promise<AuthConfig | undefined> {
  const { authFromFile } = await import("../../registry/credentials/auth-file.ts");
  const options = { path, searchPath: io.env.PATH ?? "", environment: io.env };
  const name = isElsewhere(image) ? undefined : namedReference(withoutTransport(image));
  return authFromFile(registry, name?.domain === registry ? name.path : "", options);
}

function authOf(text: string): AuthConfig {
  const colon = text.indexOf(":");
  if (colon < 0) throw failure("--creds needs a password behind the colon: username:password");
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** True for places of images that are no registry and no name here. */
export function isElsewhere(image: string): boolean {
  return /^(?:dir|oci|oci-archive|docker-archive|docker-daemon|davit|containers-storage):/.test(image);
}

/** What an engine is not told of, so that the command copies by itself: how connections are made. */
export function needsAccess({ insecure = [], certificates }: Reach): boolean {
  return insecure.length > 0 || certificates !== undefined;
}

/** The host that an image's name leads to; none for archives and the like. */
function registryOf(image: string): string[] {
  if (image === "" || image === "scratch" || isElsewhere(image)) return [];
  return [namedReference(withoutTransport(image)).domain];
}

/** What the name of a registry's image may have in front of it. */
export function withoutTransport(image: string): string {
  return image.replace(/^docker:\/\//, "");
}

/** An image's format, as `--format` or BUILDAH_FORMAT says it. */
export function readFormat(text: string): "oci" | "docker" {
  if (text === "" || text === "oci") return "oci";
  if (text === "docker" || text === "v2s2") return "docker";
  throw failure(`unrecognized image type ${JSON.stringify(text)}`);
}

/** `--add-history`, and BUILDAH_HISTORY in its place. */
export function historyFlag(flags: FlagSet): (invocation: Invocation) => boolean {
  const option = flags.bool("add-history", "Add an entry for this operation to the image's history");
  return ({ io }) => (option.changed ? option.value : /^(?:1|t|true)$/i.test(io.env.BUILDAH_HISTORY ?? ""));
}
