/** This machine, in the words of image indexes: GOOS and GOARCH. */
import type { Platform } from "./manifest.ts";

const goArchitectures: Partial<Record<NodeJS.Architecture, Platform>> = {
  x64: { os: "linux", architecture: "amd64" },
  arm64: { os: "linux", architecture: "arm64", variant: "v8" },
};

export function hostPlatform(): Platform {
  return goArchitectures[process.arch] ?? { os: "linux", architecture: process.arch };
}
