/** The platforms of a build: what each is planned as, and what has come of it. */
import type { BuildPlan } from "../../build/dockerfile/stages/model.ts";
import type { Graph } from "../../build/graph/translate.ts";
import type { Root } from "../../build/steps/root.ts";
import { InvalidParameter } from "../../core/errors.ts";
import type { Platform } from "../../images/manifest.ts";
import { formatPlatform, hostPlatform, parsePlatform } from "../../images/platform.ts";
import type { BuildRequest } from "../build.ts";

export interface PlatformPlan {
  readonly platform: Platform;
  readonly plan: BuildPlan;
}

export interface PlatformGraph extends PlatformPlan {
  readonly graph: Graph;
}

export interface PlatformResult extends PlatformGraph {
  readonly root: Root;
}

/** Each once; this machine's is called `local`, and meant when nothing is asked for. @throws InvalidParameter in containerd's words */
export function platformsOf({ platforms = [] }: BuildRequest): [Platform, ...Platform[]] {
  const parse = (text: string) => (text === "local" ? hostPlatform() : parsePlatform(text));
  const wanted = new Map(platforms.map(parse).map((each) => [formatPlatform(each), each]));
  const [first = hostPlatform(), ...others] = wanted.values();
  return [first, ...others];
}

/** @throws InvalidParameter in BuildKit's words, or for what nobody here can find out */
export function checkOutputs(
  { outputs, attestations = {} }: BuildRequest,
  platforms: readonly Platform[],
): void {
  const { provenance, sbom } = attestations;
  if (sbom !== undefined && sbom.scanner === undefined) {
    throw new InvalidParameter(
      "an SBOM needs a scanner, and davit has none yet: build without --sbom, and scan the image with a program of its own",
    );
  }
  const makesIndex = platforms.length > 1 || provenance !== undefined || sbom !== undefined;
  const isDockerArchive = outputs.some((output) => output.kind === "archive" && output.format === "docker");
  if (!isDockerArchive || !makesIndex) return;
  throw new InvalidParameter("docker exporter does not currently support exporting manifest lists");
}

/** What the plans of one Dockerfile have found, each finding once. */
export function allWarnings(plans: readonly PlatformPlan[]): Pick<BuildPlan, "warnings" | "unusedArguments"> {
  const [first] = plans;
  const warnings = plans.flatMap(({ plan }) => plan.warnings);
  const keyOf = ({ rule, message, range }: (typeof warnings)[number]) =>
    `${rule.name} ${range.start.offset} ${message}`;
  return {
    warnings: [...new Map(warnings.map((warning) => [keyOf(warning), warning])).values()],
    unusedArguments: first?.plan.unusedArguments ?? [],
  };
}

/** Below a directory or in a tar of several platforms: `linux_arm64`. */
export function platformDirectory(platform: Platform): string {
  return formatPlatform(platform).replaceAll("/", "_");
}
