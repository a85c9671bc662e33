/** Image references, as far as the command line looks into them. */
import { BadValue } from "../flags/values.ts";

/** The name with the tag that is meant when none is given. */
export function familiarReference(reference: string): string {
  const lastPart = reference.slice(reference.lastIndexOf("/") + 1);
  const isWhole = lastPart.includes(":") || reference.includes("@") || isImageId(reference);
  return isWhole ? reference : `${reference}:latest`;
}

function isImageId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** @throws BadValue in Docker's words when no image can have this name */
export function checkReference(reference: string): void {
  if (isImageId(reference) || /^sha256:[0-9a-f]+$/.test(reference)) return;
  const [name = "", digest] = reference.split("@", 2);
  const slash = name.lastIndexOf("/");
  const colon = name.indexOf(":", slash + 1);
  const repository = colon < 0 ? name : name.slice(0, colon);
  const tag = colon < 0 ? undefined : name.slice(colon + 1);
  const [first = "", ...others] = repository.split("/");
  const hasDomain = others.length > 0 && (/[.:]/.test(first) || first === "localhost" || /[A-Z]/.test(first));
  const path = hasDomain ? others.join("/") : repository;
  if (/[A-Z]/.test(path) && pathPattern.test(path.toLowerCase())) {
    const shown = hasDomain ? path : others.length === 0 ? `library/${path}` : path;
    throw new BadValue(`invalid reference format: repository name (${shown}) must be lowercase`);
  }
  const isGood =
    pathPattern.test(path) &&
    (!hasDomain || /^[a-zA-Z0-9.-]+(:\d+)?$|^\[[0-9a-fA-F:]+\](:\d+)?$/.test(first)) &&
    (tag === undefined || /^\w[\w.-]{0,127}$/.test(tag)) &&
    (digest === undefined || /^[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}$/.test(digest));
  if (!isGood) throw new BadValue("invalid reference format");
}

const pathPattern = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
