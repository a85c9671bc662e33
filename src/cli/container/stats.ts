import { DavitError } from "../../core/errors.ts";
import { shortId } from "../../core/ids.ts";
import type { ContainerStats } from "../../core/objects.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Command } from "../command.ts";
import { listFormatFlag } from "../format/flag.ts";
import { formatRows, isTable, type ListLayout, Row } from "../format/rows.ts";
import { binarySize, humanSize } from "../format/units.ts";
import type { Io } from "../io.ts";

const layout: ListLayout = {
  headings: {
    Container: "CONTAINER",
    Name: "NAME",
    ID: "CONTAINER ID",
    CPUPerc: "CPU %",
    MemUsage: "MEM USAGE / LIMIT",
    MemPerc: "MEM %",
    NetIO: "NET I/O",
    BlockIO: "BLOCK I/O",
    PIDs: "PIDS",
  },
  table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
};

/** Milliseconds between two pictures. */
const refresh = 500;

export const stats: Command = {
  synopsis: "[OPTIONS] [CONTAINER...]",
  summary: "Display a live stream of container(s) resource usage statistics",
  count: { least: 0 },
  examples: ["stats --no-stream", "stats --format '{{.Name}}: {{.MemUsage}}' web"],
  define(flags) {
    const all = flags.bool("all", "Show all containers (default shows just running)", { short: "a" });
    const format = listFormatFlag(flags);
    const noStream = flags.bool("no-stream", "Disable streaming stats and only pull the first result");
    const noTruncation = flags.bool("no-trunc", "Do not truncate output");
    return async ({ args, engine, io }) => {
      const opened = await engine();
      const names = async () => (args.length > 0 ? [...args] : await listed(opened, all.value));
      const show = (samples: readonly Sample[]) =>
        formatRows(
          layout,
          format.value,
          false,
          samples.map((sample) => statsRow(sample, !noTruncation.value)),
        );
      if (noStream.value) {
        await io.stdout.write(show(await sampleOnce(opened, await names())));
        return 0;
      }
      await follow(opened, io, names, show, isTable(format.value === "" ? "table" : format.value));
      return 0;
    };
  },
};

interface Sample {
  /** As the user called it. */
  container: string;
  stats: ContainerStats | undefined;
}

async function listed(engine: Engine, all: boolean): Promise<string[]> {
  return (await engine.containers.list({ all })).map((container) => container.Id);
}

async function sampleOnce(engine: Engine, names: readonly string[]): Promise<Sample[]> {
  return await Promise.all(
    names.map(async (container) => {
      for await (const stats of engine.containers.stats(container, { stream: false }))
        return { container, stats };
      return { container, stats: undefined };
    }),
  );
}

/** Draws the newest samples again and again, until a signal ends us. */
async function follow(
  engine: Engine,
  io: Io,
  names: () => Promise<string[]>,
  show: (samples: readonly Sample[]) => string,
  table: boolean,
): Promise<void> {
  const followed = new Map<string, Sample>();
  let failure: unknown;
  const watch = async (container: string, sample: Sample): Promise<void> => {
    try {
      for await (const stats of engine.containers.stats(container, { stream: true })) sample.stats = stats;
    } catch (error) {
      if (!(error instanceof DavitError)) failure = error;
      else if (sample.stats === undefined) failure = error;
    }
    followed.delete(container);
  };
  const given = await names();
  for (;;) {
    const wanted = followed.size === 0 ? given : await names();
    for (const container of wanted) {
      if (followed.has(container)) continue;
      const sample: Sample = { container, stats: undefined };
      followed.set(container, sample);
      void watch(container, sample);
    }
    await Bun.sleep(refresh);
    if (failure !== undefined) throw failure;
    const text = show([...followed.values()]);
    await io.stdout.write(table && io.stdout.isTerminal ? redraw(text) : text);
  }
}

/** Home, each line cleared to its end, and what is below cleared too. */
function redraw(text: string): string {
  return `\x1b[H${text.replaceAll("\n", "\x1b[K\n")}\x1b[J`;
}

function statsRow({ container, stats }: Sample, truncate: boolean): Row {
  const known = (text: (stats: ContainerStats) => string, unknown = "--") =>
    stats === undefined ? unknown : text(stats);
  return new Row("*container.statsContext", {
    Container: () => container,
    Name: () => known((s) => s.name.replace(/^\//, "") || "--"),
    ID: () => known((s) => (truncate ? shortId(s.id) : s.id)),
    CPUPerc: () => known((s) => `${cpuPercent(s).toFixed(2)}%`),
    MemUsage: () =>
      known((s) => `${binarySize(memoryUsage(s))} / ${binarySize(s.memory_stats.limit ?? 0)}`, "-- / --"),
    MemPerc: () => known((s) => `${memoryPercent(s).toFixed(2)}%`),
    NetIO: () =>
      known(
        (s) => `${humanSize(networkBytes(s, "rx_bytes"), 3)} / ${humanSize(networkBytes(s, "tx_bytes"), 3)}`,
      ),
    BlockIO: () => known((s) => `${humanSize(blockBytes(s, "r"), 3)} / ${humanSize(blockBytes(s, "w"), 3)}`),
    PIDs: () => known((s) => String(s.pids_stats?.current ?? 0)),
  });
}

/** Share of one CPU since the sample before, in percent. */
function cpuPercent({ cpu_stats: now, precpu_stats: before }: ContainerStats): number {
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const passed = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const cpus = now.online_cpus || now.cpu_usage.percpu_usage?.length || 0;
  return used > 0 && passed > 0 ? (used / passed) * cpus * 100 : 0;
}

/** Without the page cache that the kernel could drop at once. */
function memoryUsage({ memory_stats: memory }: ContainerStats): number {
  const usage = memory.usage ?? 0;
  const cache = memory.stats?.total_inactive_file ?? memory.stats?.inactive_file ?? 0;
  return cache < usage ? usage - cache : usage;
}

function memoryPercent(stats: ContainerStats): number {
  const limit = stats.memory_stats.limit ?? 0;
  return limit === 0 ? 0 : (memoryUsage(stats) / limit) * 100;
}

function networkBytes({ networks }: ContainerStats, direction: "rx_bytes" | "tx_bytes"): number {
  return Object.values(networks ?? {}).reduce((sum, device) => sum + device[direction], 0);
}

function blockBytes({ blkio_stats }: ContainerStats, operation: "r" | "w"): number {
  return (blkio_stats?.io_service_bytes_recursive ?? [])
    .filter((entry) => entry.op.toLowerCase().startsWith(operation))
    .reduce((sum, entry) => sum + entry.value, 0);
}
