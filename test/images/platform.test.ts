import { describe, expect, test } from "bun:test";
import {
  detectHostPlatform,
  formatPlatform,
  hostPlatform,
  matchPlatform,
  parsePlatform,
} from "../../src/images/platform.ts";

describe("a platform is read as containerd reads it", () => {
  test.each([
    ["linux/amd64", "linux/amd64"],
    ["linux/x86_64", "linux/amd64"],
    ["Linux/AMD64/v1", "linux/amd64"],
    ["linux/amd64/v3", "linux/amd64/v3"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64/v8"],
    ["linux/arm64/8", "linux/arm64/v8"],
    ["linux/arm64/v9.0", "linux/arm64/v9"],
    ["linux/arm", "linux/arm"],
    ["linux/arm/7", "linux/arm/v7"],
    ["linux/arm/v6", "linux/arm/v6"],
    ["linux/armhf", "linux/arm"],
    ["linux/armel", "linux/arm/v6"],
    ["linux/i386", "linux/386"],
    ["arm64", "linux/arm64"],
    ["riscv64", "linux/riscv64"],
    ["macos/arm64", "darwin/arm64"],
    ["windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"],
    ["linux", `linux/${hostPlatform().architecture}`],
  ])("%s is %s", (text, platform) => {
    expect(formatPlatform(parsePlatform(text))).toBe(platform);
  });

  test.each([
    ["linux/*", '"linux/*": wildcards not yet supported: invalid argument'],
    ["", "is an invalid OS component"],
    ["a/b/c/d", '"a/b/c/d": cannot parse platform specifier: invalid argument'],
    ["nothing", '"nothing": unknown operating system or architecture: invalid argument'],
    ["linux/a b", '"a b" is an invalid component of "linux/a b"'],
    ["linux/", '"" is an invalid component of "linux/"'],
    ["../../etc", '"../../etc": '],
  ])("%j is none", (text, message) => {
    if (text === "../../etc") message = '".." is an invalid OS component of "../../etc"';
    expect(() => parsePlatform(text)).toThrow(message);
  });
});

describe("of several platforms the best is chosen", () => {
  const choose = (wanted: string, ...candidates: string[]) => {
    const at = matchPlatform(
      candidates.map((text) => (text === "?" ? undefined : parsePlatform(text))),
      parsePlatform(wanted),
    );
    return at === undefined ? undefined : candidates[at];
  };
  test.each<[string, string[], string | undefined]>([
    ["linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"],
    ["linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"],
    ["linux/amd64", ["linux/amd64/v2", "linux/386"], "linux/386"],
    ["linux/amd64", ["windows/amd64"], undefined],
    ["linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], "linux/arm64/v8"],
    ["linux/arm64/v8", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"],
    ["linux/arm64", ["linux/arm64/v9"], undefined],
    ["linux/arm64/v9", ["linux/arm64", "linux/arm64/v8.5"], "linux/arm64/v8.5"],
    ["linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], "linux/arm/v6"],
    ["linux/arm/v5", ["linux/arm/v6"], undefined],
    ["linux/s390x", ["?", "linux/s390x"], "linux/s390x"],
    ["linux/s390x", ["linux/amd64", "?"], "?"],
    ["linux/amd64", [], undefined],
  ])("%s of %j is %s", (wanted, candidates, best) => {
    expect(choose(wanted, ...candidates)).toBe(best);
  });
});

test("this machine's platform runs here", () => {
  expect(matchPlatform([hostPlatform()], detectHostPlatform())).toBe(0);
  expect(detectHostPlatform()).toMatchObject({ os: "linux", architecture: hostPlatform().architecture });
});
