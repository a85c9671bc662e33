/** Linux capabilities by name, and which of them a container gets. capabilities(7). */
import { InvalidParameter } from "../core/errors.ts";
import type { CapabilitySets } from "./oci.ts";

/** In the kernel's order: the index is the capability's number. */
export const allCapabilities: readonly string[] = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE " +
  "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT " +
  "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE " +
  "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ " +
  "PERFMON BPF CHECKPOINT_RESTORE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

/** What Docker gives a container that asks for nothing, in its order. */
export const defaultCapabilities: readonly string[] = (
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT " +
  "KILL AUDIT_WRITE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

export interface CapabilityRequest {
  add: readonly string[];
  drop: readonly string[];
  privileged: boolean;
  /** What we ourselves may hand on: our bounding set. */
  available: readonly string[];
}

/**
 * The capabilities of a container. `ALL` and `--privileged` mean all that are available here.
 * @throws InvalidParameter `invalid CapAdd: unknown capability: "CAP_FOO"`.
 */
export function chooseCapabilities(request: CapabilityRequest): string[] {
  const add = normalized(request.add, "CapAdd");
  const drop = normalized(request.drop, "CapDrop");
  const available = new Set(request.available);
  if (request.privileged) return allCapabilities.filter((name) => available.has(name));
  for (const name of add) {
    if (name !== all && !available.has(name)) {
      throw new InvalidParameter(
        `invalid CapAdd: capability not supported by your kernel or not available in the current environment: "${name}"`,
      );
    }
  }
  if (add.includes(all)) return allCapabilities.filter((name) => available.has(name) && !drop.includes(name));
  if (drop.includes(all)) return [...new Set(add)];
  const kept = defaultCapabilities.filter((name) => available.has(name) && !drop.includes(name));
  return [...new Set([...kept, ...add])];
}

const all = "ALL";

function normalized(names: readonly string[], field: string): string[] {
  return names.map((given) => {
    const upper = given.toUpperCase();
    if (upper === all || upper === "CAP_ALL") return all;
    const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    if (!allCapabilities.includes(name)) {
      throw new InvalidParameter(`invalid ${field}: unknown capability: "${name}"`);
    }
    return name;
  });
}

/**
 * The sets of a process: root has them all, another user only may gain them (through a set-user-ID program).
 * None are inheritable: that would raise what files may grant (CVE-2022-24769).
 */
export function capabilitySets(capabilities: readonly string[], uid: number): CapabilitySets {
  const active = uid === 0 ? [...capabilities] : [];
  return { bounding: [...capabilities], effective: active, permitted: [...active] };
}

/** The names in a capability mask of /proc/<pid>/status, such as `000001fffeffffff`. */
export function capabilitiesOfMask(hex: string): string[] {
  const mask = BigInt(`0x${hex}`);
  return allCapabilities.filter((_, number) => (mask >> BigInt(number)) & 1n);
}
