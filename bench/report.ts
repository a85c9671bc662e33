/** The table of results, with the limits that davit set itself. */

import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import type { EngineName, Subject } from "./engines.ts";
import type { Timing } from "./measure.ts";

export interface Row {
  title: string;
  unit: "ms" | "s" | "MB";
  /** Milliseconds, or megabytes. */
  values: Map<Subject, Timing>;
  /** davit's value is to be at most this part of the peer's, or at most so many units. */
  limits: { Docker?: number; Podman?: number; absolute?: number };
}

/** What a part of the bench works with. */
export interface Part {
  subjects: readonly Subject[];
  /** For what takes milliseconds, and for what takes seconds. */
  rounds: { warmup: number; counted: number };
  longRounds: { warmup: number; counted: number };
  /** A directory that is removed at the end. */
  scratch: string;
  add(row: Row): void;
  note(text: string): void;
}

export interface Report {
  subjects: readonly Subject[];
  rows: readonly Row[];
  /** What else there is to know, one paragraph each. */
  notes: readonly string[];
}

function amount(value: number, unit: Row["unit"]): string {
  if (unit === "s") return `${(value / 1000).toFixed(2)} s`;
  if (unit === "MB") return `${value.toFixed(1)} MB`;
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

function cell(timing: Timing | undefined, unit: Row["unit"]): string {
  if (timing === undefined) return "–";
  if (timing.runs === 1) return amount(timing.median, unit);
  return `${amount(timing.median, unit)} (${amount(timing.least, unit)} – ${amount(timing.most, unit)})`;
}

function timingOf(row: Row, name: EngineName): Timing | undefined {
  for (const [subject, timing] of row.values) if (subject.name === name) return timing;
  return undefined;
}

/** davit beside each peer and each limit; `met` is undefined where there is no limit. */
function verdicts(row: Row): { text: string; met: boolean | undefined }[] {
  const davit = timingOf(row, "davit");
  if (davit === undefined) return [];
  const found: { text: string; met: boolean | undefined }[] = [];
  for (const peer of ["Docker", "Podman"] as const) {
    const limit = row.limits[peer];
    const other = timingOf(row, peer);
    if (other === undefined || other.median === 0) continue;
    const ratio = davit.median / other.median;
    const text = `${ratio.toFixed(2)} × ${peer}`;
    if (limit === undefined) found.push({ text, met: undefined });
    else found.push({ text: `${text} (at most ${limit})`, met: ratio <= limit });
  }
  if (row.limits.absolute !== undefined) {
    found.push({
      text: `${amount(davit.median, row.unit)} (at most ${amount(row.limits.absolute, row.unit)})`,
      met: davit.median <= row.limits.absolute,
    });
  }
  return found;
}

/** True when every limit that could be judged is met. */
export function allMet(rows: readonly Row[]): boolean {
  return rows.every((row) => verdicts(row).every(({ met }) => met !== false));
}

export function table(report: Report): string {
  const names = report.subjects.map(({ name }) => name);
  const lines = [
    `| | ${names.join(" | ")} | davit beside them | met |`,
    `|---|${names.map(() => "---").join("|")}|---|---|`,
  ];
  for (const row of report.rows) {
    const judged = verdicts(row);
    const limited = judged.filter((verdict) => verdict.met !== undefined);
    const met = limited.length === 0 ? "–" : limited.every((verdict) => verdict.met) ? "yes" : "**no**";
    const cells = names.map((name) => cell(timingOf(row, name), row.unit));
    lines.push(
      `| ${row.title} | ${cells.join(" | ")} | ${judged.map(({ text }) => text).join("; ") || "–"} | ${met} |`,
    );
  }
  return lines.join("\n");
}

/** Medians only, for the README. */
export function shortTable(report: Report): string {
  const names = report.subjects.map(({ name }) => name);
  return [
    `| | ${names.join(" | ")} |`,
    `|---|${names.map(() => "---").join("|")}|`,
    ...report.rows.map((row) => {
      const cells = names.map((name) => {
        const timing = timingOf(row, name);
        return timing === undefined ? "–" : amount(timing.median, row.unit);
      });
      return `| ${row.title} | ${cells.join(" | ")} |`;
    }),
  ].join("\n");
}

/** Puts a table between the README's two marks. @throws when they are not there. */
export function withNumbers(readme: string, numbers: string): string {
  const [begin, end] = ["<!-- numbers -->", "<!-- end of numbers -->"];
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end);
  if (from < 0 || to < from) throw new Error(`README.md has no place for numbers (${begin} … ${end})`);
  return `${readme.slice(0, from + begin.length)}\n${numbers}\n${readme.slice(to)}`;
}

export function document(report: Report): string {
  const processor = cpus()[0]?.model ?? "unknown processor";
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  return `# Results of the bench

Measured ${new Date().toISOString().slice(0, 10)} by \`npm run bench\`, all engines in one run, taking turns, each when the one before it has come to rest. Medians, and
in brackets the least and the most; each time is that of a whole command, as a user waits for it.

${table(report)}

${report.notes.join("\n\n")}

## The machine

- ${cpus().length} × ${processor}, ${Math.round(totalmem() / 2 ** 30)} GB of memory, Linux ${release()}, ${system}
${report.subjects.map((subject) => `- ${subject.name}: ${subject.version}`).join("\n")}
`;
}
