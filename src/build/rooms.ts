/** What builds work with: records, stores, and what RUN needs of the host. */
import type { Instance } from "../core/instance.ts";
import type { ImageStores } from "../images/collect.ts";
import type { CgroupLayout } from "../runtime/cgroups.ts";
import type { HostFacts } from "../runtime/host.ts";
import type { OciRuntime } from "../runtime/runtimes.ts";

export interface BuildRooms extends ImageStores {
  readonly instance: Instance;
  /** Tells this boot of the machine from others. */
  readonly bootId: string;
  /** PATH, for git and the like. */
  readonly searchPath: string;
  cgroups(): CgroupLayout;
  host(): HostFacts;
  runtime(): OciRuntime;
}
