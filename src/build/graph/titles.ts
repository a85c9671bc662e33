/** What progress displays call the steps of a stage, in BuildKit's shape: `[linux/arm64 build 2/3]`. */
import type { Platform } from "../../images/manifest.ts";
import { formatPlatform, normalizePlatform } from "../../images/platform.ts";
import type { Variables } from "../dockerfile/expansion/variables.ts";

/** Platforms of a build, as far as titles tell of them. */
export interface TitledPlatforms {
  /** What this graph is made for; other platforms are named in any case. */
  readonly target: Platform;
  /** The build has several targets: then each title names its own. */
  readonly areSeveral: boolean;
}

/** @param environment of the step, which tells what a step that crosses platforms builds for */
export function stepLabel(
  stage: { readonly name: string; readonly platform: Platform },
  count: { readonly at: number; readonly total: number },
  { target, areSeveral }: TitledPlatforms,
  environment?: Variables,
): string {
  const own = formatPlatform(stage.platform);
  const isTold = areSeveral || own !== formatPlatform(target);
  const platform = isTold ? `${own}${crossed(stage.platform, environment)} ` : "";
  return `[${platform}${stage.name === "" ? "" : `${stage.name} `}${count.at}/${count.total}]`;
}

/** `->arm64` where the step's variables name another platform than the one it runs on. */
function crossed(base: Platform, environment: Variables | undefined): string {
  const [os, architecture, variant] = ["TARGETOS", "TARGETARCH", "TARGETVARIANT"].map((name) =>
    environment?.get(name),
  );
  if (!os && !architecture && !variant) return "";
  const platform = normalizePlatform({
    os: os || base.os,
    architecture: architecture || base.architecture,
    ...(variant ? { variant } : {}),
  });
  if (platform.os !== base.os) return `->${formatPlatform(platform)}`;
  if (platform.architecture === base.architecture) return "";
  return `->${[platform.architecture, platform.variant ?? ""].filter((part) => part !== "").join("/")}`;
}
