/** Flags that several of Buildah's commands share. */
import type { AuthConfig } from "../../core/objects.ts";
import type { Reach } from "../../engine/working.ts";
import { authOfRegistry } from "../account/credentials.ts";
import type { Invocation } from "../command.ts";
import type { FlagSet } from "../flags/flag-set.ts";
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
  unsupported(flags, [
    "authfile",
    "cert-dir",
    "decryption-key",
    "encryption-key",
    "encrypt-layer",
    "sign-by",
  ]);
  return (invocation, image) => {
    const auth = creds.value === "" ? undefined : authOf(creds.value);
    return {
      credentials: async (registry) =>
        auth === undefined
          ? (await authOfRegistry(invocation, registry)).auth
          : { ...auth, serveraddress: registry },
      insecure: verify.value ? [] : registryOf(image),
      openDaemon: async () => (await import("../image/copy.ts")).openDaemon(invocation),
    };
  };
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

/** The host that an image's name leads to; none for archives and the like. */
function registryOf(image: string): string[] {
  if (image === "" || image === "scratch" || isElsewhere(image)) return [];
  return [namedReference(image.replace(/^docker:\/\//, "")).domain];
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
