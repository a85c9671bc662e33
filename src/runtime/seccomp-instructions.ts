/**
 * The instructions of a seccomp filter, classic BPF: those that libseccomp makes, and no others.
 * @see Documentation/networking/filter.rst, struct sock_filter in linux/filter.h, seccomp_check_filter in
 * kernel/seccomp.c
 */

/** Loads a 32-bit word of struct seccomp_data into the accumulator. */
export const LOAD = 0x20;
export const AND = 0x54;
/** A jump forward, by a distance of 32 bits. */
export const JUMP = 0x05;
export const IF_EQUAL = 0x15;
export const IF_GREATER = 0x25;
export const IF_GREATER_OR_EQUAL = 0x35;
export const IF_ANY_BIT = 0x45;
export const RETURN = 0x06;

/** How a conditional jump compares the accumulator with its constant; all without sign. */
export type Comparison = typeof IF_EQUAL | typeof IF_GREATER | typeof IF_GREATER_OR_EQUAL | typeof IF_ANY_BIT;

/** A jump to one of two places; their distances count from the instruction that follows it. */
export interface Conditional {
  code: Comparison;
  constant: number;
  whenTrue: number;
  whenFalse: number;
}

/** One instruction. */
export type Instruction =
  | { code: typeof LOAD | typeof AND | typeof JUMP | typeof RETURN; constant: number }
  | Conditional;

/** struct seccomp_data: number, architecture, instruction pointer and six arguments. */
const dataSize = 64;
const wordSize = 4;
const instructionSize = 8;
/** BPF_MAXINSNS. */
const maxInstructions = 4096;

/** @returns nothing for a program that the kernel would refuse, or that has an instruction not among ours. */
export function readInstructions(program: Uint8Array): Instruction[] | undefined {
  const count = program.length / instructionSize;
  if (!Number.isInteger(count) || count === 0 || count > maxInstructions) return undefined;
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const instructions: Instruction[] = [];
  for (let index = 0; index < count; index += 1) {
    const instruction = readInstruction(view, index * instructionSize);
    if (instruction === undefined || !isWithin(instruction, count - index - 1)) return undefined;
    instructions.push(instruction);
  }
  return instructions.at(-1)?.code === RETURN ? instructions : undefined;
}

function readInstruction(view: DataView, offset: number): Instruction | undefined {
  const code = view.getUint16(offset, true);
  const constant = view.getUint32(offset + 4, true);
  switch (code) {
    case LOAD:
    case AND:
    case JUMP:
    case RETURN:
      return { code, constant };
    case IF_EQUAL:
    case IF_GREATER:
    case IF_GREATER_OR_EQUAL:
    case IF_ANY_BIT:
      return { code, constant, whenTrue: view.getUint8(offset + 2), whenFalse: view.getUint8(offset + 3) };
    default:
      return undefined;
  }
}

/** Whether it jumps, or falls, to one of the `following` instructions, and loads a word of the data. */
function isWithin(instruction: Instruction, following: number): boolean {
  switch (instruction.code) {
    case RETURN:
      return true;
    case LOAD:
      return instruction.constant < dataSize && instruction.constant % wordSize === 0;
    case AND:
      return true;
    case JUMP:
      return instruction.constant < following;
    default:
      return instruction.whenTrue < following && instruction.whenFalse < following;
  }
}

/** The opposite of `readInstructions`. */
export function writeInstructions(instructions: readonly Instruction[]): Uint8Array {
  const program = new Uint8Array(instructions.length * instructionSize);
  const view = new DataView(program.buffer);
  instructions.forEach((instruction, index) => {
    const offset = index * instructionSize;
    view.setUint16(offset, instruction.code, true);
    view.setUint32(offset + 4, instruction.constant, true);
    if (!("whenTrue" in instruction)) return;
    view.setUint8(offset + 2, instruction.whenTrue);
    view.setUint8(offset + 3, instruction.whenFalse);
  });
  return program;
}
