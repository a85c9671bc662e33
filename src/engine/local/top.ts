/** `docker top`: the host's ps, asked for the container's processes only. */
import { InvalidParameter, SystemFailure, Unavailable } from "../../core/errors.ts";
import type { ContainerTopResponse } from "../../core/objects.ts";
import { containerCgroup, containerPids } from "../../runtime/cgroups.ts";
import type { Local } from "./local.ts";
import { requireLive } from "./lookup.ts";

const defaultArguments = "-ef";

/**
 * @throws NotFound; Conflict when it does not run; SystemFailure in the words of ps; Unavailable where there
 * is none
 */
export async function top(
  local: Local,
  reference: string,
  psArgs = defaultArguments,
): Promise<ContainerTopResponse> {
  const { record } = requireLive(local, reference);
  const pids = new Set(
    containerPids(
      local.cgroups(),
      containerCgroup(local.instance, record.id, record.hostConfig.CgroupParent),
    ),
  );
  return select(runPs(local, psArgs), pids);
}

function runPs(local: Local, psArgs: string): string {
  const words = psArgs.split(/\s+/).filter((word) => word !== "");
  const program = Bun.which("ps", { PATH: local.searchPath });
  if (program === null) throw new Unavailable("ps is not installed: it comes in the package `procps`");
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...words], {
    env: { PATH: local.searchPath },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (exitCode !== 0) throw new SystemFailure(`ps: exit status ${exitCode}: ${stderr.toString().trim()}`);
  return stdout.toString();
}

/** Rows of ps whose PID column names one of ours. The last column keeps its spaces. */
function select(output: string, pids: ReadonlySet<number>): ContainerTopResponse {
  const [head = "", ...lines] = output.split("\n").filter((line) => line !== "");
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf("PID");
  if (column === -1) throw new InvalidParameter("Couldn't find PID field in ps output");
  const processes: string[][] = [];
  for (const line of lines) {
    const words = line.trim().split(/\s+/);
    const row = [...words.slice(0, titles.length - 1), words.slice(titles.length - 1).join(" ")];
    if (pids.has(Number(row[column]))) processes.push(row);
  }
  return { Titles: titles, Processes: processes };
}
