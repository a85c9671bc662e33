/** Runs seccomp filters, and finds the calls on which two of them could differ. */

/** One struct sock_filter. */
export type Sample = readonly [code: number, jt: number, jf: number, k: number];

export function assemble(samples: readonly Sample[]): Uint8Array {
  const program = new Uint8Array(samples.length * 8);
  const view = new DataView(program.buffer);
  samples.forEach(([code, jt, jf, k], index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, true);
  });
  return program;
}

export function disassemble(program: Uint8Array): Sample[] {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  return Array.from({ length: program.length / 8 }, (_, index) => [
    view.getUint16(index * 8, true),
    view.getUint8(index * 8 + 2),
    view.getUint8(index * 8 + 3),
    view.getUint32(index * 8 + 4, true),
  ]);
}

/** struct seccomp_data as 16 words: number, architecture, instruction pointer, six arguments with low words first. */
export type Call = Uint32Array;

export interface Verdict {
  value: number;
  /** Whether more was looked at than number and architecture. */
  readsArguments: boolean;
}

/** As the kernel does, but for what only other filters than libseccomp's use: that is an error. */
export function interpret(program: readonly Sample[], call: Call): Verdict {
  let accumulator = 0;
  let readsArguments = false;
  for (let index = 0; ; ) {
    const instruction = program[index];
    if (instruction === undefined) throw new Error(`ran to instruction ${index} of ${program.length}`);
    const [code, jt, jf, k] = instruction;
    index += 1;
    switch (code) {
      case 0x20: {
        const word = call[k / 4];
        if (word === undefined) throw new Error(`loads from ${k}`);
        accumulator = word;
        if (k >= 8) readsArguments = true;
        break;
      }
      case 0x54:
        accumulator = (accumulator & k) >>> 0;
        break;
      case 0x05:
        index += k;
        break;
      case 0x15:
        index += accumulator === k ? jt : jf;
        break;
      case 0x25:
        index += accumulator > k ? jt : jf;
        break;
      case 0x35:
        index += accumulator >= k ? jt : jf;
        break;
      case 0x45:
        index += (accumulator & k) !== 0 ? jt : jf;
        break;
      case 0x06:
        return { value: k, readsArguments };
      default:
        throw new Error(`instruction 0x${code.toString(16)}`);
    }
  }
}

/** Numbers that look random and are the same each time: mulberry32. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const wordEnd = 2 ** 32;
/** What a filter compares words with, by what stands last before it that loads one. */
interface Constants {
  all: Set<number>;
  ofArguments: Set<number>;
}

function constantsOf(program: readonly Sample[]): Constants {
  const constants: Constants = { all: new Set(), ofArguments: new Set() };
  let loaded = 0;
  for (const [code, , , k] of program) {
    if (code === 0x20) loaded = k;
    else if (code !== 0x06 && code !== 0x05) {
      constants.all.add(k);
      if (loaded >= 8) constants.ofArguments.add(k);
    }
  }
  return constants;
}

function around(values: Iterable<number>): number[] {
  const near = new Set<number>();
  for (const value of values) {
    for (const distance of [-1, 0, 1]) near.add((value + distance + wordEnd) % wordEnd);
  }
  return [...near];
}

/** Two that no filter mentions, and all that this one compares anything with that looks like one (AUDIT_ARCH_*). */
function architecturesOf(constants: Constants): number[] {
  const mentioned = [...constants.all].filter((value) => value >= 0x4000_0002 && (value & 0x3fff_0000) === 0);
  return [...mentioned, 0, 0xdead_beef];
}

const numbersAlways = [
  ...Array.from({ length: 1101 }, (_, number) => number),
  ...around([0x4000_0000, 0x7fff_ffff, 0x8000_0000, wordEnd - 1]),
  ...Array.from({ length: 600 }, (_, number) => 0x4000_0000 + number),
];

/**
 * Compares two filters on every architecture and system call number on which they could differ, and where one looks
 * at arguments, on those about every constant.
 * @returns how many calls it compared, and how many of these by their arguments
 * @throws for the first call that they answer differently
 */
export function compareFilters(
  before: Uint8Array,
  after: Uint8Array,
  options: { numbers?: readonly number[]; architectures?: readonly number[]; rounds?: number } = {},
): { calls: number; byArguments: number; answers: Set<number> } {
  const [original, optimized] = [disassemble(before), disassemble(after)];
  const constants = constantsOf(original);
  const random = randomNumbers(1);
  const bits = Array.from({ length: 32 }, (_, bit) => 2 ** bit);
  const words = [...new Set([...around(constants.ofArguments), 0, wordEnd - 1, ...bits])];
  const architectures = options.architectures ?? architecturesOf(constants);
  const numbers = new Set([...(options.numbers ?? numbersAlways), ...around(constants.all)]);
  const loaded = new Set(
    [...original, ...optimized].flatMap(([code, , , k]) => (code === 0x20 ? [k / 4] : [])),
  );
  const looked = [...loaded].filter((word) => word >= 2);
  const answers = new Set<number>();
  const call: Call = new Uint32Array(16);
  let [calls, byArguments] = [0, 0];

  const compare = (): boolean => {
    const [wanted, got] = [interpret(original, call), interpret(optimized, call)];
    calls += 1;
    answers.add(wanted.value);
    if (wanted.value !== got.value) {
      throw new Error(
        `call ${[...call].map((word) => word.toString(16))}: ${wanted.value}, not ${got.value}`,
      );
    }
    return wanted.readsArguments || got.readsArguments;
  };

  for (const architecture of architectures) {
    for (const number of numbers) {
      call.fill(0);
      call[0] = number;
      call[1] = architecture;
      if (!compare()) continue;
      const from = calls;
      for (const word of looked) {
        for (const value of words) {
          call.fill(0, 2);
          call[word] = value;
          compare();
        }
      }
      for (let round = 0; round < (options.rounds ?? 1500); round += 1) {
        for (const word of looked) {
          call[word] = random(8) === 0 ? random(wordEnd) : (words[random(words.length)] ?? 0);
        }
        // Half of a 64-bit argument is most often all that matters.
        if (round % 2 === 0) for (let high = 3; high < 16; high += 2) call[high] = 0;
        compare();
      }
      byArguments += calls - from;
    }
  }
  return { calls, byArguments, answers };
}
