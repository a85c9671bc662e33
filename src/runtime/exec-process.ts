/** The process of an exec: the container's own, with what was asked for laid over it. */
import { capabilitySets, chooseCapabilities } from "./capabilities.ts";
import { mergeEnvironment } from "./environment.ts";
import type { HostFacts } from "./host.ts";
import type { ProcessSpec } from "./oci.ts";
import type { ResolvedUser } from "./users.ts";

export interface ExecProcessInput {
  /** The container's own process, as its configuration has it. */
  container: ProcessSpec;
  args: readonly string[];
  env: readonly string[];
  /** undefined: the container's. */
  cwd: string | undefined;
  tty: boolean;
  /** undefined: the container's. */
  user: ResolvedUser | undefined;
  privileged: boolean;
  /** Asked for a privileged one. */
  host: () => HostFacts;
  consoleSize?: { height: number; width: number };
  /** The container's own Env setting: a HOME that stands there holds for every user. */
  containerEnv?: readonly string[] | null | undefined;
}

/** The process of an exec. */
export function makeExecProcess(input: ExecProcessInput): ProcessSpec {
  const { container, user } = input;
  const chosen = user ?? { ...container.user, additionalGids: container.user.additionalGids ?? [] };
  const capabilities = input.privileged
    ? chooseCapabilities({ add: [], drop: [], privileged: true, available: input.host().capabilities })
    : (container.capabilities?.bounding ?? []);
  const homeIsSet = input.containerEnv?.some((entry) => entry.startsWith("HOME=")) ?? false;
  const base = mergeEnvironment(input.tty ? ["TERM=xterm"] : [], container.env);
  const home = user === undefined || homeIsSet ? [] : [`HOME=${user.home}`];
  const process: ProcessSpec = {
    ...container,
    user: { uid: chosen.uid, gid: chosen.gid, additionalGids: chosen.additionalGids },
    args: [...input.args],
    env: mergeEnvironment(mergeEnvironment(base, home), input.env),
    cwd: input.cwd || container.cwd,
    capabilities: capabilitySets(capabilities, chosen.uid),
    terminal: input.tty,
  };
  delete process.consoleSize;
  if (input.tty && input.consoleSize) process.consoleSize = input.consoleSize;
  return process;
}
