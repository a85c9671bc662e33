/** The words for places of images: `transport:details`, in skopeo's grammar. */
import { InvalidParameter } from "../../core/errors.ts";
import { parseReference, type Reference, withDefaultTag } from "../../images/references.ts";

export type PlaceName =
  | { kind: "registry"; reference: Reference }
  | { kind: "docker-archive"; path: string; reference: Reference | undefined; position: number | undefined }
  | { kind: "oci-archive"; path: string; tag: string | undefined }
  | { kind: "oci"; path: string; tag: string | undefined }
  | { kind: "dir"; path: string }
  | { kind: "daemon"; reference: string }
  | { kind: "local"; reference: string };

/** Transports of skopeo that davit has not: else they would read as names. */
const unknownTransports = ["containers-storage", "atomic", "ostree", "sif", "tarball"];

/** @throws InvalidParameter */
export function parsePlace(text: string): PlaceName {
  const colon = text.indexOf(":");
  const transport = colon < 0 ? "" : text.slice(0, colon);
  const rest = text.slice(colon + 1);
  switch (transport) {
    case "docker": {
      if (!rest.startsWith("//")) {
        throw new InvalidParameter(`docker: image reference ${JSON.stringify(rest)} does not start with //`);
      }
      return { kind: "registry", reference: withDefaultTag(parseReference(rest.slice(2))) };
    }
    case "docker-archive":
      return parseDockerArchive(rest);
    case "oci-archive":
    case "oci": {
      const { path, name } = splitPath(transport, rest);
      return { kind: transport, path, tag: name };
    }
    case "dir":
      return { kind: "dir", path: nonEmpty(transport, rest) };
    case "docker-daemon":
      return { kind: "daemon", reference: nonEmpty(transport, rest) };
    case "davit":
      return { kind: "local", reference: nonEmpty(transport, rest) };
    default:
      if (unknownTransports.includes(transport)) {
        throw new InvalidParameter(`transport ${JSON.stringify(transport)} is not supported`);
      }
      return { kind: "local", reference: nonEmpty("davit", text) };
  }
}

/** `file`, `file:name:tag` or `file:@position`. */
function parseDockerArchive(rest: string): PlaceName {
  const { path, name } = splitPath("docker-archive", rest);
  if (name === undefined) return { kind: "docker-archive", path, reference: undefined, position: undefined };
  if (!name.startsWith("@")) {
    const reference = withDefaultTag(parseReference(name));
    if (reference.digest !== undefined) {
      throw new InvalidParameter(`docker-archive: a digest cannot name an image in an archive: ${name}`);
    }
    return { kind: "docker-archive", path, reference, position: undefined };
  }
  if (!/^@\d{1,6}$/.test(name)) {
    throw new InvalidParameter(`docker-archive: invalid source index ${JSON.stringify(name)}`);
  }
  return { kind: "docker-archive", path, reference: undefined, position: Number(name.slice(1)) };
}

/** The path ends at the first colon, as in skopeo. */
function splitPath(transport: string, rest: string): { path: string; name: string | undefined } {
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const name = colon < 0 ? "" : rest.slice(colon + 1);
  return { path: nonEmpty(transport, path), name: name === "" ? undefined : name };
}

function nonEmpty(transport: string, text: string): string {
  if (text === "") throw new InvalidParameter(`${transport}: a name or path is missing`);
  return text;
}
