import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultCapabilities } from "../../src/runtime/capabilities.ts";
import type { SeccompProfile, SeccompRule } from "../../src/runtime/oci.ts";
import { defaultSeccomp } from "../../src/runtime/seccomp.ts";
import { optimizeFilter } from "../../src/runtime/seccomp-program.ts";
import { Box, type BoxOptions, runExec, unpackRoot } from "./box.ts";
import { assemble, compareFilters, disassemble, randomNumbers, type Sample } from "./classic-bpf.ts";

const allow = 0x7fff_0000;
const errno = (number: number) => 0x0005_0000 + number;
const load = (offset: number): Sample => [0x20, 0, 0, offset];
const and = (mask: number): Sample => [0x54, 0, 0, mask];
const jump = (distance: number): Sample => [0x05, 0, 0, distance];
const ifEqual = (k: number, jt: number, jf: number): Sample => [0x15, jt, jf, k];
const ret = (value: number): Sample => [0x06, 0, 0, value];
const sizeOf = (program: Uint8Array) => program.length / 8;

let root: ReturnType<typeof unpackRoot>;
beforeAll(() => {
  root = unpackRoot();
});
afterAll(() => root.remove());

const options = (more: Partial<BoxOptions> = {}): BoxOptions => ({
  rootfs: root.path,
  runtime: "crun",
  args: ["sleep", "100"],
  ...more,
});
const filterOf = (box: Box) => readFileSync(join(box.runtime.stateDirectory, box.id, "seccomp.bpf"));

/** What crun and libseccomp make of a profile. */
async function compile(profile: SeccompProfile): Promise<Uint8Array> {
  const seccomp = { profile: JSON.stringify(profile) };
  await using box = await Box.create(options({ spec: { seccomp } }));
  return filterOf(box);
}

const profileOfDocker = (): SeccompProfile =>
  defaultSeccomp({
    capabilities: defaultCapabilities,
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    kernel: { major: 6, minor: 1 },
  });

describe("a filter that libseccomp compiled", () => {
  test("of Docker's default profile becomes much smaller and decides the same", async () => {
    await using box = await Box.create(options());
    const original = filterOf(box);
    const optimized = optimizeFilter(original);
    expect(sizeOf(optimized)).toBeLessThan(sizeOf(original) / 3);
    const { byArguments, answers } = compareFilters(original, optimized);
    expect(byArguments).toBeGreaterThan(1000);
    // clone3 with ENOSYS is among its answers.
    expect(answers).toEqual(new Set([allow, errno(1), errno(38), 0]));
  });

  const rule = (names: string[], action: string, more: Partial<SeccompRule> = {}): SeccompRule => ({
    names,
    action: `SCMP_ACT_${action}`,
    ...more,
  });
  const large = 0x12_3456_789a;
  const argumentRules = ["EQ", "NE", "LT", "LE", "GT", "GE"].flatMap((comparison, index) =>
    [7, large].map((value) =>
      rule([["acct", "swapon", "swapoff", "ptrace", "quotactl", "syslog"][index] ?? "bpf"], "ERRNO", {
        errnoRet: value === 7 ? 100 + index : 200 + index,
        args: [{ index: value === 7 ? 0 : 3, value, op: `SCMP_CMP_${comparison}` }],
      }),
    ),
  );
  const maskedAndSeveral: SeccompRule[] = [
    rule(["socket"], "ERRNO", {
      errnoRet: 97,
      args: [
        { index: 0, value: 0xff, valueTwo: 40, op: "SCMP_CMP_MASKED_EQ" },
        { index: 1, value: 2, op: "SCMP_CMP_EQ" },
        { index: 2, value: 17, op: "SCMP_CMP_NE" },
      ],
    }),
    rule(["personality"], "LOG", {
      args: [{ index: 0, value: 0xff_0000_f0f0, valueTwo: 0x1000_00f0, op: "SCMP_CMP_MASKED_EQ" }],
    }),
    rule(["kcmp"], "TRAP", { args: [{ index: 5, value: large, op: "SCMP_CMP_GE" }] }),
  ];
  const otherActions = ["KILL_PROCESS", "KILL_THREAD", "TRAP", "LOG", "TRACE"].map((action, index) =>
    rule([["acct", "swapon", "swapoff", "quotactl", "syslog"][index] ?? "bpf"], action),
  );
  const docker = profileOfDocker();
  const profiles: Record<string, SeccompProfile> = {
    "allows all but a few calls": {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [...otherActions, rule(["mount", "umount2", "bpf"], "ERRNO", { errnoRet: 524 })],
    },
    "compares arguments": { defaultAction: "SCMP_ACT_ALLOW", syscalls: argumentRules },
    "masks arguments and compares several": {
      ...docker,
      syscalls: [
        ...(docker.syscalls ?? []).map((each) => ({
          ...each,
          names: each.names.filter((name) => !["socket", "personality", "kcmp"].includes(name)),
        })),
        ...maskedAndSeveral,
      ].filter((each) => each.names.length > 0),
    },
    "kills by default": {
      architectures: docker.architectures ?? [],
      defaultAction: "SCMP_ACT_KILL_PROCESS",
      syscalls: [...(docker.syscalls ?? []), ...otherActions],
    },
    "logs by default, on one architecture only": {
      defaultAction: "SCMP_ACT_LOG",
      syscalls: docker.syscalls ?? [],
    },
  };
  for (const [what, profile] of Object.entries(profiles)) {
    test(`of a profile that ${what} decides the same`, async () => {
      const original = await compile(profile);
      const optimized = optimizeFilter(original);
      expect(sizeOf(optimized)).toBeLessThanOrEqual(sizeOf(original));
      expect(optimizeFilter(optimized)).toEqual(optimized);
      const { answers } = compareFilters(original, optimized);
      expect(answers.size).toBeGreaterThan(1);
    });
  }

  test("serves a container and its execs in its short form as in its own", async () => {
    const calls = [
      "rm -rf /tmp/*",
      "unshare -m true; echo $?",
      "linux32 echo narrow; echo $?",
      "chroot / echo rooted; echo $?",
      "mkdir /tmp/made; mknod /tmp/pipe p; ls /tmp | sort",
      "grep ^Seccomp /proc/self/status",
    ];
    const script = ["sh", "-c", `${calls.join("; ")}; sleep 100`];
    await using first = await Box.create(options({ args: script }));
    const kept = `${first.runtime.stateDirectory}-filters`;
    const [key] = readdirSync(kept);
    if (key === undefined) throw new Error("no filter was kept");
    const optimized = optimizeFilter(filterOf(first));
    expect(sizeOf(optimized)).toBeLessThan(sizeOf(filterOf(first)));
    unlinkSync(join(kept, key));
    writeFileSync(join(kept, key), optimized);

    await using second = await Box.create(options({ args: script, beside: first }));
    // What crun has handed to the kernel.
    expect(filterOf(second).equals(optimized)).toBe(true);
    const said: string[] = [];
    for (const box of [first, second]) {
      const streams = await box.attach();
      await box.start();
      let text = "";
      for await (const frame of streams.output) {
        text += Buffer.from(frame.data).toString("utf8");
        if (text.includes("Seccomp_filters:\t1\n") && text.includes("unshare")) break;
      }
      const exec = await runExec(await box.exec(["sh", "-c", calls.join("; ")]));
      expect(exec.stderr).toContain("Operation not permitted");
      expect(exec.stdout).toContain("narrow\n0\nrooted\n0\nmade\npipe\nSeccomp:\t2\n");
      expect(text).toContain("Operation not permitted");
      said.push(text.split("\n").sort().join("\n"), `${exec.stdout}${exec.stderr}`);
    }
    expect(said.slice(2)).toEqual(said.slice(0, 2));
  });
});

describe("any program", () => {
  const smallArchitectures = [0, 1, 2, 3, 4, 5, 6, 7, 0xdead_beef, 0xffff_ffff];
  const smallNumbers = Array.from({ length: 20 }, (_, number) => number);

  /**
   * A program of instructions that are understood, in any order, with numbers so small that they meet. Behind it is
   * what nothing jumps to: so there is a shorter one, whatever it does.
   */
  function randomProgram(random: (below: number) => number): Uint8Array {
    const size = 5 + random(60);
    const samples: Sample[] = [];
    let field = random(2) * 4;
    for (samples.push(load(field)); samples.length < size; ) {
      const following = size - samples.length;
      const distance = () => Math.min(random(random(4) === 0 ? 30 : 4), following - 1);
      const k = random(12) === 0 ? 0xffff_ffff - random(2) : random(8);
      const kind = random(20);
      // Of a number or an architecture, a part is hardly ever understood.
      const isWhole = field < 8 && random(50) > 0;
      if (following === 1 || kind === 0) samples.push(ret(random(3)));
      else if (kind < 5) {
        field = [0, 0, 4, 16, 20, 60][random(6)] ?? 0;
        samples.push(load(field));
      } else if (kind < 6 && !isWhole) samples.push(and([0, 3, 6, 0xffff_ffff][random(4)] ?? 0));
      else if (kind < 7) samples.push(jump(distance()));
      else {
        const comparison = [0x15, 0x15, 0x25, 0x35, 0x45][random(isWhole ? 4 : 5)] ?? 0;
        samples.push([comparison, distance(), distance(), k]);
      }
    }
    samples.push(...Array<Sample>(200).fill(ret(3)));
    return assemble(samples);
  }

  test("that is random decides the same when it is made shorter", () => {
    const random = randomNumbers(20_260_101);
    let shorter = 0;
    for (let round = 0; round < 250; round += 1) {
      const original = randomProgram(random);
      const optimized = optimizeFilter(original);
      if (optimized === original) continue;
      expect(sizeOf(optimized)).toBeLessThan(sizeOf(original));
      shorter += 1;
      compareFilters(original, optimized, {
        numbers: smallNumbers,
        architectures: smallArchitectures,
        rounds: 20,
      });
    }
    expect(shorter).toBeGreaterThan(150);
  });

  /** Checks for numbers, one after the other, of which each may test an argument and go on to the rest. */
  function randomChain(random: (below: number) => number, size: number): Uint8Array {
    const samples: Sample[] = [load(4), ifEqual(0xc000_003e, 1, 0), ret(0), load(0)];
    for (let index = 0; index < size; index += 1) {
      const number = random(5) === 0 ? 0x4000_0000 + random(size) : index + random(3);
      const value = random(50);
      const kind = random(8);
      if (kind < 4) samples.push(ifEqual(number, 0, 1), ret(random(3) === 0 ? errno(1 + random(40)) : allow));
      else if (kind < 6)
        samples.push([0x35, 0, 2, number], [0x25, 1, 0, number + random(4)], ret(errno(random(3))));
      else if (kind < 7) {
        samples.push(ifEqual(number, 0, 4), load(16), ifEqual(value, 0, 1), ret(errno(value)), load(0));
      } else {
        samples.push(ifEqual(number, 0, 6), load(20), ifEqual(0, 0, 3), load(24), and(0xf0), [
          0x45,
          0,
          1,
          value,
        ]);
        samples.push(ret(allow), load(0));
      }
    }
    return assemble([...samples, ret(errno(1))]);
  }

  test("that checks numbers one after the other decides the same", () => {
    const random = randomNumbers(7);
    for (let round = 0; round < 40; round += 1) {
      const original = randomChain(random, 10 + random(50));
      const optimized = optimizeFilter(original);
      expect(sizeOf(optimized)).toBeLessThan(sizeOf(original));
      compareFilters(original, optimized, {
        numbers: smallNumbers,
        architectures: [0xc000_003e, 5],
        rounds: 50,
      });
    }
  });

  test("that needs longer jumps than a comparison has decides the same", () => {
    const original = randomChain(randomNumbers(3), 700);
    const optimized = optimizeFilter(original);
    expect(sizeOf(optimized)).toBeLessThan(sizeOf(original));
    expect(disassemble(optimized).some(([code]) => code === 0x05)).toBe(true);
    compareFilters(original, optimized, { numbers: [], architectures: [0xc000_003e], rounds: 20 });
  });

  const good: Sample[] = [load(0), ifEqual(1, 0, 1), ret(allow), ifEqual(2, 0, 1), ret(allow), ret(errno(1))];
  const behind = (...samples: Sample[]) => assemble([...samples, ...good, ...good]);
  test.each<[string, Uint8Array]>([
    ["is empty", new Uint8Array()],
    ["has half an instruction", behind().subarray(4)],
    ["does not end with an answer", assemble([...good, load(0)])],
    ["jumps behind its end", assemble([...good, jump(1), ret(0)])],
    ["jumps 4 GiB", assemble([...good, jump(0xffff_ffff), ret(0)])],
    ["compares and jumps behind its end", assemble([...good, load(0), ifEqual(1, 0, 1), ret(0)])],
    ["loads what is not there", behind(load(64))],
    ["loads half of two words", behind(load(2))],
    ["loads from memory", behind([0x60, 0, 0, 0])],
    ["stores", behind([0x02, 0, 0, 0])],
    ["uses the index register", behind([0x07, 0, 0, 0], [0x1d, 0, 0, 0])],
    ["loads an index from a packet's header", behind([0xb1, 0, 0, 0])],
    ["divides", behind([0x34, 0, 0, 0])],
    ["adds", behind([0x04, 0, 0, 1])],
    ["answers with the accumulator", behind([0x16, 0, 0, 0])],
    ["compares before it loads", behind(ifEqual(0, 0, 1))],
    ["has a part of the number decide", behind(load(0), and(1), ifEqual(1, 0, 0))],
    ["has bits of the number decide", behind(load(0), [0x45, 0, 1, 1])],
    ["is larger than the kernel takes", assemble([...Array<Sample>(4096).fill(load(0)), ret(0)])],
    ["cannot be shorter", assemble([load(0), ifEqual(1, 0, 1), ret(allow), ret(errno(1))])],
  ])("that %s comes back as it is", (_, program) => {
    const before = program.slice();
    expect(optimizeFilter(program)).toBe(program);
    expect(program).toEqual(before);
  });

  test("that is not one at all comes back as it is", () => {
    const random = randomNumbers(11);
    for (let round = 0; round < 500; round += 1) {
      const garbage = Uint8Array.from({ length: 8 * (1 + random(20)) }, () => random(256));
      expect(optimizeFilter(garbage)).toBe(garbage);
    }
  });

  const manyTests = (count: number) =>
    Array.from({ length: count }, (_, index) => [load(16 + (index % 12) * 4), ifEqual(index, 0, 0)]).flat();

  test("that takes long to follow comes back as it is", () => {
    // Each number is told apart behind all the tests, which then stand before each anew.
    const numbers = Array.from({ length: 1500 }, (_, index) => [ifEqual(index * 2, 0, 1), ret(index)]).flat();
    const slow = assemble([...manyTests(400), load(0), ...numbers, ret(errno(1))]);
    expect(optimizeFilter(slow)).toBe(slow);
  });

  test("that tests arguments too often comes back as it is", () => {
    const deep = assemble([...manyTests(2000), ret(errno(1)), ret(errno(2)), ret(3)]);
    expect(optimizeFilter(deep)).toBe(deep);
  });

  test("that tells hundreds of numbers and architectures apart decides the same", () => {
    const architectures = Array.from({ length: 40 }, (_, index) => [ifEqual(index, 0, 1), ret(index)]).flat();
    const numbers = Array.from({ length: 600 }, (_, index) => [
      ifEqual((index * 7919) % 1009, 0, 1),
      ret(index % 2),
    ]).flat();
    const original = assemble([load(4), ...architectures, load(0), ...numbers, ret(2)]);
    const optimized = optimizeFilter(original);
    expect(sizeOf(optimized)).toBeLessThan(sizeOf(original));
    compareFilters(original, optimized, { numbers: [], architectures: [0, 39, 40] });
  });
});
