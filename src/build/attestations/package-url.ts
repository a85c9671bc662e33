/** Images as package URLs (github.com/package-url/purl-spec, type docker), as BuildKit writes them. */
import type { Platform } from "../../images/manifest.ts";
import { formatPlatform, normalizePlatform } from "../../images/platform.ts";
import { familiarName, type Reference } from "../../images/references.ts";

/** `pkg:docker/alpine@3.17?platform=linux%2Famd64` */
export function imageUrl(name: Reference, platform: Platform): string {
  const path = familiarName(name).split("/").map(encodeURIComponent).join("/");
  const qualifiers = [
    ...(name.digest === undefined ? [] : [`digest=${name.digest}`]),
    `platform=${encodeURIComponent(formatPlatform(normalizePlatform(platform)))}`,
  ];
  const version = name.tag === undefined ? "" : `@${encodeURIComponent(name.tag)}`;
  return `pkg:docker/${path}${version}?${qualifiers.join("&")}`;
}
