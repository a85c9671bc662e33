/** Platforms in queries: from API 1.46 on a JSON object with the keys of the OCI image specification. */
import { InvalidParameter } from "../../core/errors.ts";

/** `os[/arch[/variant]]` as JSON. @throws InvalidParameter when it has more or empty parts. */
export function encodePlatform(platform: string | undefined): string | undefined {
  if (platform === undefined) return undefined;
  const [os = "", architecture = "", variant, ...more] = platform.split("/");
  if (os === "" || more.length > 0 || variant === "") {
    throw new InvalidParameter(`"${platform}" is an invalid OS/architecture specifier`);
  }
  return JSON.stringify({ architecture, os, ...(variant === undefined ? {} : { variant }) });
}

/** One value for each platform: the parameter is given several times. */
export function encodePlatforms(platforms: readonly string[]): string[] {
  return platforms.flatMap((platform) => encodePlatform(platform) ?? []);
}
