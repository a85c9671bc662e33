/** The conmons of an instance, as the kernel has them. */
import type { Instance } from "../../src/core/instance.ts";
import { findInKernel, ownershipOf } from "../harness/kernel.ts";

/** Their pids. */
export function conmonsOf(instance: Instance): number[] {
  return findInKernel(ownershipOf(instance))
    .processes.filter(({ command }) => /^\S*conmon /.test(command))
    .map(({ pid }) => pid);
}
