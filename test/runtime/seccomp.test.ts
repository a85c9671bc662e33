import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { allCapabilities, defaultCapabilities } from "../../src/runtime/capabilities.ts";
import type { SeccompProfile } from "../../src/runtime/oci.ts";
import { customSeccomp, defaultSeccomp, type SeccompConditions } from "../../src/runtime/seccomp.ts";

/** Docker's published profile, where the project's surroundings have it; it is no part of the project. */
const referencePath = join(import.meta.dir, "../../../shared/reference/seccomp-default.json");
const hasReference = existsSync(referencePath);
if (!hasReference) console.warn(`SKIPPED: no published seccomp profile at ${referencePath} to compare with`);

/** What a filter answers for a call with these arguments; every rule that matches must agree. */
function decide(profile: SeccompProfile, name: string, args: readonly number[]): string {
  const answers = new Set<string>();
  for (const rule of profile.syscalls ?? []) {
    if (!rule.names.includes(name)) continue;
    const matches = (rule.args ?? []).every(({ index, value, valueTwo = 0, op }) => {
      const argument = args[index] ?? 0;
      switch (op) {
        case "SCMP_CMP_EQ":
          return argument === value;
        case "SCMP_CMP_LT":
          return argument < value;
        case "SCMP_CMP_GT":
          return argument > value;
        case "SCMP_CMP_MASKED_EQ":
          return (BigInt(argument) & BigInt(value)) === BigInt(valueTwo);
        default:
          throw new Error(`operator ${op}`);
      }
    });
    if (matches) answers.add(`${rule.action} ${rule.errnoRet ?? ""}`);
  }
  if (answers.size === 0) return `${profile.defaultAction} ${profile.defaultErrnoRet}`;
  // An unconditional rule beats conditional ones: libseccomp keeps the widest.
  return [...answers].sort().join("|");
}

/** Arguments on both sides of every condition that any rule of the two has on this call. */
function interestingArguments(name: string, profiles: readonly SeccompProfile[]): number[][] {
  const values = new Set([0]);
  for (const profile of profiles) {
    for (const rule of profile.syscalls ?? []) {
      if (!rule.names.includes(name)) continue;
      for (const { value } of rule.args ?? []) {
        for (const near of [value - 1, value, value + 1]) if (near >= 0) values.add(near);
        for (let bit = 1; bit <= value && bit <= 2 ** 32; bit *= 2) values.add(bit);
      }
    }
  }
  return [...values].flatMap((value) => [
    [value, 0],
    [0, value],
  ]);
}

const capabilitySets: [string, readonly string[]][] = [
  ["none", []],
  ["Docker's default", defaultCapabilities],
  ["all", allCapabilities],
  ...allCapabilities.map((name): [string, readonly string[]] => [
    `default and ${name}`,
    [...defaultCapabilities, name],
  ]),
  ...allCapabilities.map((name): [string, readonly string[]] => [
    `all but ${name}`,
    allCapabilities.filter((other) => other !== name),
  ]),
];

describe.skipIf(!hasReference)("the default profile decides as the published one", () => {
  const text = hasReference ? readFileSync(referencePath, "utf8") : "";
  const names = new Set(text.match(/"[a-z][a-z0-9_]+"/g)?.map((word) => word.slice(1, -1)));
  for (const architecture of ["amd64", "arm64", "s390x", "riscv64", "ppc64le"]) {
    for (const kernel of [
      { major: 4, minor: 7 },
      { major: 6, minor: 1 },
    ]) {
      test(`on ${architecture}, Linux ${kernel.major}.${kernel.minor}, for every system call and capability`, () => {
        let decisions = 0;
        for (const [, capabilities] of capabilitySets) {
          const conditions: SeccompConditions = { capabilities, architecture, kernel };
          const ours = defaultSeccomp(conditions);
          const published = customSeccomp(text, conditions);
          const known = new Set([...names, ...(ours.syscalls ?? []).flatMap((rule) => rule.names)]);
          for (const name of [...known, "not_a_call"]) {
            for (const args of interestingArguments(name, [ours, published])) {
              const answer = decide(ours, name, args);
              if (answer !== decide(published, name, args)) {
                throw new Error(
                  `${name}(${args}) with ${capabilities.join(" ")}: ${answer}, published: ${decide(published, name, args)}`,
                );
              }
              decisions += 1;
            }
          }
          if (architecture !== "ppc64le") expect(ours.architectures).toEqual(published.architectures ?? []);
          expect(ours.defaultErrnoRet).toBe(published.defaultErrnoRet ?? -1);
        }
        expect(decisions).toBeGreaterThan(10_000);
      });
    }
  }
});

describe("a profile of the user's", () => {
  const conditions: SeccompConditions = {
    capabilities: ["CAP_SYS_ADMIN"],
    architecture: "amd64",
    kernel: { major: 6, minor: 1 },
  };

  test("has its conditions resolved", () => {
    const profile = customSeccomp(
      JSON.stringify({
        defaultAction: "SCMP_ACT_ALLOW",
        archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
        syscalls: [
          { names: ["mount"], action: "SCMP_ACT_ERRNO", excludes: { caps: ["CAP_SYS_ADMIN"] } },
          { names: ["bpf"], action: "SCMP_ACT_ERRNO", errnoRet: 38, includes: { caps: ["CAP_SYS_ADMIN"] } },
          { names: ["swapcontext"], action: "SCMP_ACT_ERRNO", includes: { arches: ["ppc64le"] } },
          { names: ["ptrace"], action: "SCMP_ACT_ERRNO", includes: { minKernel: "7.0" } },
          { name: "mkdir", action: "SCMP_ACT_ERRNO", args: null },
        ],
      }),
      conditions,
    );
    expect(profile).toEqual({
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
      syscalls: [
        { names: ["bpf"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
        { names: ["mkdir"], action: "SCMP_ACT_ERRNO" },
      ],
    });
  });

  test.each(["", "{", "[]", "null", '{"defaultAction":1}', '{"defaultAction":"x","syscalls":[{}]}'])(
    "that is %p is refused",
    (text) => {
      expect(() => customSeccomp(text, conditions)).toThrow("Decoding seccomp profile failed");
    },
  );
});
