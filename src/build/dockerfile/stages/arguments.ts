/** Arguments that hold for the whole file: those BuildKit predefines, and ARG before the first FROM. */
import type { Platform } from "../../../images/manifest.ts";
import { formatPlatform } from "../../../images/platform.ts";
import { DockerfileError, LineFault } from "../errors.ts";
import { expand } from "../expansion/expand.ts";
import type { Variables } from "../expansion/variables.ts";
import type { ArgInstruction } from "../instructions.ts";
import type { Source } from "../source.ts";
import type { EscapeCharacter } from "../words.ts";

export interface Platforms {
  /** What is built for. */
  readonly target: Platform;
  /** What builds. */
  readonly build: Platform;
}

/** Global arguments by name, in the order in which they were set. */
export type GlobalArguments = ReadonlyMap<string, string>;

/** TARGETPLATFORM and the others; a build argument of the same name overrides each. */
export function predefinedArguments(
  { target, build }: Platforms,
  targetStage: string,
  given: ReadonlyMap<string, string>,
): GlobalArguments {
  const predefined: Record<string, string> = {
    BUILDPLATFORM: formatPlatform(withoutVersion(build)),
    BUILDOS: build.os,
    BUILDOSVERSION: build["os.version"] ?? "",
    BUILDARCH: build.architecture,
    BUILDVARIANT: build.variant ?? "",
    TARGETPLATFORM: formatPlatform(target),
    TARGETOS: target.os,
    TARGETOSVERSION: target["os.version"] ?? "",
    TARGETARCH: target.architecture,
    TARGETVARIANT: target.variant ?? "",
    TARGETSTAGE: targetStage === "" ? "default" : targetStage,
  };
  return new Map(Object.entries(predefined).map(([name, value]) => [name, given.get(name) ?? value]));
}

/**
 * The predefined arguments and those that the file sets before its first FROM.
 * @param given what `--build-arg` says; it comes before a default
 * @throws DockerfileError
 */
export function globalArguments(
  predefined: GlobalArguments,
  instructions: readonly ArgInstruction[],
  given: ReadonlyMap<string, string>,
  file: { readonly source: Source; readonly escapeCharacter: EscapeCharacter },
): GlobalArguments {
  const values = new Map(predefined);
  for (const { definitions, range } of instructions) {
    for (const { name, value } of definitions) {
      const set = given.get(name) ?? expandDefault(value);
      if (set !== undefined) values.set(name, set);
    }
    function expandDefault(value: string | undefined): string | undefined {
      if (value === undefined) return undefined;
      try {
        return expand(value, asVariables(values), { escapeCharacter: file.escapeCharacter }).text;
      } catch (error) {
        if (!(error instanceof LineFault)) throw error;
        throw new DockerfileError(error.message, file.source, range);
      }
    }
  }
  return values;
}

export function asVariables(values: ReadonlyMap<string, string>): Variables {
  return { get: (name) => values.get(name), names: () => values.keys() };
}

const proxyNames = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/** HTTP_PROXY and its like, whose values are no part of what is built. */
export function isProxyArgument(name: string): boolean {
  return proxyNames.includes(name.toLowerCase());
}

/** Arguments that are for the builder; RUN does not see them. */
export function isBuilderArgument(name: string): boolean {
  return name === "BUILDKIT_SBOM_SCAN_CONTEXT" || name === "BUILDKIT_SBOM_SCAN_STAGE";
}

function withoutVersion({ architecture, os, variant }: Platform): Platform {
  return { architecture, os, ...(variant === undefined ? {} : { variant }) };
}
