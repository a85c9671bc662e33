/**
 * Programs of other platforms. The kernel runs them where binfmt_misc has a handler for them (Linux,
 * Documentation/admin-guide/binfmt-misc.rst), which packages like qemu-user-static register; nothing is to be done
 * then. What is done here is to say so where there is none.
 */

import { hasErrno } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import type { Platform } from "../../images/manifest.ts";
import { detectHostPlatform, formatPlatform, hostPlatform, servesPlatform } from "../../images/platform.ts";
import { namesIn } from "../../linux/directories.ts";
import { readFileSync } from "../../linux/files.ts";
import { StepFailure } from "./failure.ts";

export const binfmtDirectory = "/proc/sys/fs/binfmt_misc";

/** Runs a step; where it fails and the machine has no means to run such programs, the failure says how to get them. */
export async function explainingForeign<Result>(
  platform: Platform,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    const hint = error instanceof StepFailure ? foreignProgramsHint(platform) : undefined;
    if (!(error instanceof StepFailure) || hint === undefined) throw error;
    throw new StepFailure(`${error.message}: ${hint}`, error.exitCode);
  }
}

/** Undefined where programs of the platform can run. */
export function foreignProgramsHint(platform: Platform, directory = binfmtDirectory): string | undefined {
  if (servesPlatform(platform, detectHostPlatform())) return undefined;
  const wanted = formatPlatform(platform);
  const here = formatPlatform(hostPlatform());
  const wayOut = `install qemu-user-static, or make them on ${here} in a stage that is FROM --platform=$BUILDPLATFORM`;
  const handler = handlerFor(platform, directory);
  if (handler === undefined) {
    return `programs of ${wanted} do not run on this machine (${here}), as binfmt_misc has no handler for them: ${wayOut}`;
  }
  if (handler.opensEarly) return undefined;
  return (
    `programs of ${wanted} do not run in a container of this machine (${here}): the binfmt_misc handler ${handler.name} ` +
    `has no flag F, so that its interpreter ${handler.interpreter} would have to be in the image: ${wayOut}`
  );
}

export interface BinfmtHandler {
  readonly name: string;
  readonly interpreter: string;
  /** Flag F: the interpreter was opened when it was registered, and serves in any root. */
  readonly opensEarly: boolean;
}

/** The handler that the kernel would take for a program of the platform. */
export function handlerFor(platform: Platform, directory = binfmtDirectory): BinfmtHandler | undefined {
  const header = programHeader(platform);
  if (header === undefined || read(join(directory, "status"))?.trim() !== "enabled") return undefined;
  for (const name of namesIn(directory)) {
    if (name === "register" || name === "status") continue;
    const fields = fieldsOf(read(join(directory, name)) ?? "");
    if (!fields.isEnabled || !matches(header, fields)) continue;
    return { name, interpreter: fields.interpreter, opensEarly: fields.flags.includes("F") };
  }
  return undefined;
}

/** Of an ELF executable: class, byte order, machine (elf(5)). */
const machines: Partial<Record<string, readonly [bits: 32 | 64, order: "little" | "big", machine: number]>> =
  {
    "386": [32, "little", 3],
    amd64: [64, "little", 62],
    arm: [32, "little", 40],
    arm64: [64, "little", 183],
    loong64: [64, "little", 258],
    mips: [32, "big", 8],
    mipsle: [32, "little", 8],
    mips64: [64, "big", 8],
    mips64le: [64, "little", 8],
    ppc64: [64, "big", 21],
    ppc64le: [64, "little", 21],
    riscv64: [64, "little", 243],
    s390x: [64, "big", 22],
  };

const executable = 2;

function programHeader({ os, architecture }: Platform): Buffer | undefined {
  const machine = os === "linux" ? machines[architecture] : undefined;
  if (machine === undefined) return undefined;
  const [bits, order, number] = machine;
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, order === "little" ? 1 : 2, 1]);
  if (order === "little") {
    header.writeUInt16LE(executable, 16);
    header.writeUInt16LE(number, 18);
    header.writeUInt32LE(1, 20);
  } else {
    header.writeUInt16BE(executable, 16);
    header.writeUInt16BE(number, 18);
    header.writeUInt32BE(1, 20);
  }
  return header;
}

interface HandlerFields {
  readonly isEnabled: boolean;
  readonly interpreter: string;
  readonly flags: string;
  readonly offset: number;
  readonly magic: Buffer;
  /** Empty: all bits count. */
  readonly mask: Buffer;
}

function fieldsOf(text: string): HandlerFields {
  const field = (name: string) => new RegExp(`^${name}:? (.*)$`, "m").exec(text)?.[1] ?? "";
  return {
    isEnabled: text.startsWith("enabled\n"),
    interpreter: field("interpreter"),
    flags: field("flags"),
    offset: Number(field("offset")) || 0,
    magic: Buffer.from(field("magic"), "hex"),
    mask: Buffer.from(field("mask"), "hex"),
  };
}

/** Handlers that go by a file's name have no magic. */
function matches(header: Buffer, { magic, mask, offset }: HandlerFields): boolean {
  if (magic.length === 0 || offset + magic.length > header.length) return false;
  return magic.every((byte, at) => (((header[offset + at] ?? 0) ^ byte) & (mask[at] ?? 0xff)) === 0);
}

/** Undefined where it is not there, as on machines where nobody has mounted binfmt_misc. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
