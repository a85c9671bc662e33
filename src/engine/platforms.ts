/** Platforms in words, for callers of the engine. */
export { formatPlatform, parsePlatform } from "../images/platform.ts";
