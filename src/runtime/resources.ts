/** Limits: checked as Docker checks them, and turned into the runtime's terms. */
import type { Resources } from "../core/objects.ts";
import type { CgroupLayout } from "./cgroups.ts";
import type { LinuxResources } from "./oci.ts";

export interface CheckedResources {
  /** As given, or changed where the host cannot do it (with a warning). */
  resources: Resources;
  warnings: string[];
}

/**
 * Checks limits at create. @throws InvalidParameter `Minimum memory limit allowed is 6MB` and the like.
 * @param cpus number of CPUs of the host.
 */
export declare function checkResources(resources: Resources, layout: CgroupLayout, cpus: number): CheckedResources;

/** The resources of config.json (without device rules). */
export declare function makeResources(resources: Resources, layout: CgroupLayout): LinuxResources;
