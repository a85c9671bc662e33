/**
 * Platforms in the words of image indexes (GOOS, GOARCH, variant), with the rules of containerd's `platforms`
 * package: how they are written, which spellings mean the same, and which of several runs best on a machine.
 */

import { hasErrno, InvalidParameter } from "../core/errors.ts";
import { closeSync, openSync, readSync } from "../linux/files.ts";
import type { Platform } from "./manifest.ts";

const goArchitectures: Partial<Record<NodeJS.Architecture, Platform>> = {
  x64: { os: "linux", architecture: "amd64" },
  ia32: { os: "linux", architecture: "386" },
  arm64: { os: "linux", architecture: "arm64", variant: "v8" },
  arm: { os: "linux", architecture: "arm", variant: "v7" },
};

/** This machine, as configs and indexes name it. An amd64 CPU's level is left out: `detectHostPlatform` has it. */
export function hostPlatform(): Platform {
  return goArchitectures[process.arch] ?? { os: "linux", architecture: process.arch };
}

/** This machine at the most that its CPU can: `linux/amd64/v3`. For choosing, and for messages. */
export function detectHostPlatform(): Platform {
  const platform = hostPlatform();
  if (platform.architecture !== "amd64") return platform;
  const level = amd64Level(readCpuFlags());
  return level > 1 ? { ...platform, variant: `v${level}` } : platform;
}

/** As messages name it: nobody has asked for the level of this machine's CPU. */
export function familiarPlatform(platform: Platform): Platform {
  return formatPlatform(platform) === formatPlatform(detectHostPlatform()) ? hostPlatform() : platform;
}

/** x86-64 psABI, "Micro-Architecture Levels", by the names that /proc/cpuinfo has for them. */
const amd64Levels: readonly (readonly string[])[] = [
  ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"],
  ["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"],
  ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
];

/** 1 to 4. */
function amd64Level(flags: ReadonlySet<string>): number {
  const missing = amd64Levels.findIndex((needed) => !needed.every((flag) => flags.has(flag)));
  return missing < 0 ? amd64Levels.length + 1 : missing + 1;
}

/** Of the first processor: with many of them the whole file takes the kernel milliseconds to write. */
function readCpuFlags(): ReadonlySet<string> {
  try {
    const fd = openSync("/proc/cpuinfo", "r");
    try {
      const buffer = Buffer.alloc(16 * 1024);
      const text = buffer.toString("latin1", 0, readSync(fd, buffer));
      return new Set(/^flags\s*:(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/) ?? []);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    // No /proc: then it counts as the oldest of its kind.
    if (hasErrno(error, "ENOENT", "EACCES")) return new Set();
    throw error;
  }
}

const osPattern = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$/;
const componentPattern = /^[A-Za-z0-9_.-]+$/;
const knownSystems = new Set(
  "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos".split(
    " ",
  ),
);
const knownArchitectures = new Set(
  (
    "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 " +
    "mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm"
  ).split(" "),
);

/**
 * Parses `os`, `arch`, `os/arch` or `os/arch/variant` and normalises it: `aarch64` is `arm64`, `x86_64` is `amd64`.
 * @throws InvalidParameter in containerd's words.
 */
export function parsePlatform(text: string): Platform {
  const shown = JSON.stringify(text.slice(0, 200));
  if (text.includes("*")) throw invalid(`${shown}: wildcards not yet supported`);
  const [first = "", ...rest] = text.split("/");
  const [, system, osVersion] = osPattern.exec(first) ?? [];
  if (system === undefined) {
    throw invalid(
      `${JSON.stringify(first.slice(0, 200))} is an invalid OS component of ${shown}: OSAndVersion specifier ` +
        `component must match ${JSON.stringify(osPattern.source)}`,
    );
  }
  for (const part of rest) {
    if (componentPattern.test(part)) continue;
    throw invalid(
      `${JSON.stringify(part.slice(0, 200))} is an invalid component of ${shown}: platform specifier ` +
        `component must match ${JSON.stringify(componentPattern.source)}`,
    );
  }
  const [architecture, variant] = rest;
  if (rest.length > 2) throw invalid(`${shown}: cannot parse platform specifier`);
  if (architecture === undefined) return parseSingle(first, system.toLowerCase(), shown);
  const platform = normalizePlatform({
    os: system,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion ? { "os.version": osVersion } : {}),
  });
  if (variant === undefined) return withoutDefaultVariant(platform);
  // Whoever writes the variant of arm64 gets it back.
  return platform.architecture === "arm64" && platform.variant === undefined
    ? { ...platform, variant: "v8" }
    : platform;
}

/** One word is an operating system if it is known as one, else an architecture. */
function parseSingle(text: string, system: string, shown: string): Platform {
  const os = normalizeOs(system);
  const { architecture } = hostPlatform();
  if (knownSystems.has(os)) return { os, architecture };
  const platform = withoutDefaultVariant(normalizePlatform({ os: "linux", architecture: text }));
  if (!knownArchitectures.has(platform.architecture)) {
    throw invalid(`${shown}: unknown operating system or architecture`);
  }
  return platform;
}

/** `arm/v7` is what `arm` alone means. */
function withoutDefaultVariant(platform: Platform): Platform {
  if (platform.architecture !== "arm" || platform.variant !== "v7") return platform;
  const { variant: _, ...rest } = platform;
  return rest;
}

/** One spelling for what has several. */
export function normalizePlatform(platform: Platform): Platform {
  const { variant: given, ...rest } = platform;
  const { architecture, variant } = normalizeArchitecture(
    platform.architecture.toLowerCase(),
    given?.toLowerCase() ?? "",
  );
  return { ...rest, os: normalizeOs(platform.os), architecture, ...(variant === "" ? {} : { variant }) };
}

function normalizeOs(os: string): string {
  const lower = os.toLowerCase();
  if (lower === "") return "linux";
  return lower === "macos" ? "darwin" : lower;
}

function normalizeArchitecture(
  architecture: string,
  variant: string,
): { architecture: string; variant: string } {
  switch (architecture) {
    case "i386":
      return { architecture: "386", variant: "" };
    case "x86_64":
    case "x86-64":
    case "amd64":
      return { architecture: "amd64", variant: variant === "v1" ? "" : variant };
    case "aarch64":
    case "arm64":
      if (["8", "v8", "v8.0"].includes(variant)) return { architecture: "arm64", variant: "" };
      return { architecture: "arm64", variant: ["9", "9.0", "v9.0"].includes(variant) ? "v9" : variant };
    case "armhf":
      return { architecture: "arm", variant: "v7" };
    case "armel":
      return { architecture: "arm", variant: "v6" };
    case "arm":
      if (variant === "" || variant === "7") return { architecture: "arm", variant: "v7" };
      return { architecture: "arm", variant: ["5", "6", "8"].includes(variant) ? `v${variant}` : variant };
    default:
      return { architecture, variant };
  }
}

/** `linux/arm64/v8`, `windows(10.0.17763)/amd64`; `unknown` for what names no operating system. */
export function formatPlatform(platform: Platform): string {
  if (platform.os === "") return "unknown";
  const version = platform["os.version"];
  const system = version === undefined ? platform.os : `${platform.os}(${version})`;
  return [system, platform.architecture, platform.variant ?? ""].filter((part) => part !== "").join("/");
}

/**
 * Which of several platforms serves best where `wanted` is asked for: the same first, then what the same machine
 * runs too (an older variant, 386 on amd64, arm on arm64). A candidate without a platform fits, but after all others.
 * @returns its position; undefined when none fits.
 */
export function matchPlatform(
  candidates: readonly (Platform | undefined)[],
  wanted: Platform,
): number | undefined {
  const accepted = acceptedPlatforms(normalizePlatform(wanted)).map(keyOf);
  let best: { position: number; rank: number } | undefined;
  for (const [position, candidate] of candidates.entries()) {
    const rank =
      candidate === undefined ? accepted.length : accepted.indexOf(keyOf(normalizePlatform(candidate)));
    if (rank >= 0 && (best === undefined || rank < best.rank)) best = { position, rank };
  }
  return best?.position;
}

/** True where an image for `candidate` runs where `wanted` is asked for. */
export function servesPlatform(candidate: Platform, wanted: Platform): boolean {
  return matchPlatform([candidate], wanted) !== undefined;
}

function keyOf({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}/${variant ?? ""}`;
}

/** What runs where `platform` does, the best first. containerd's platformVector. */
function acceptedPlatforms(platform: Platform): Platform[] {
  const { os, architecture } = platform;
  switch (architecture) {
    case "amd64":
      return [
        platform,
        ...descending(levelOf(platform) - 1, 1).map((level) =>
          level === 1 ? { os, architecture } : { os, architecture, variant: `v${level}` },
        ),
        { os, architecture: "386" },
      ];
    case "arm":
      return [
        platform,
        ...descending(levelOf(platform) - 1, 5).map((level) => ({ os, architecture, variant: `v${level}` })),
      ];
    case "arm64":
      return [
        ...arm64Variants(platform.variant ?? "v8").map((variant) =>
          normalizePlatform({ os, architecture, variant }),
        ),
        ...acceptedPlatforms({ os, architecture: "arm", variant: "v8" }),
      ];
    default:
      return [platform];
  }
}

/** v9.n runs v9.n…v9.0 and v8.(n+5)…v8.0; v8.n runs v8.n…v8.0. */
function arm64Variants(variant: string): string[] {
  const [, major, minor = "0"] = /^v([89])(?:\.(\d{1,2}))?$/.exec(variant) ?? [];
  if (major === undefined) return [variant];
  const ofMajor = (number: string, from: number) =>
    descending(from, 0).map((step) => (step === 0 ? `v${number}` : `v${number}.${step}`));
  const level = Number(minor);
  return major === "8"
    ? ofMajor("8", level)
    : [...ofMajor("9", level), ...ofMajor("8", Math.min(level + 5, 9))];
}

function levelOf({ variant = "v1" }: Platform): number {
  const [, level] = /^v(\d{1,2})$/.exec(variant) ?? [];
  return Number(level ?? 0);
}

function descending(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, from - to + 1) }, (_, step) => from - step);
}

function invalid(message: string): InvalidParameter {
  return new InvalidParameter(`${message}: invalid argument`);
}
