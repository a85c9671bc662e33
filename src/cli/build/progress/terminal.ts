/** `--progress=tty`: what is done above, what runs with its last lines below, drawn anew as it goes on. */
import type { BuildEvent } from "../../../engine/build.ts";
import type { OutputStream } from "../../io.ts";
import type { BuildDisplay } from "./display.ts";

interface Row {
  readonly name: string;
  started: number | undefined;
  finished: number | undefined;
  cached: boolean;
  error: string | undefined;
  readonly statuses: Map<string, { started: number; finished: number | undefined }>;
  /** The last lines of output. */
  lines: string[];
}

/** Milliseconds between two pictures. */
const interval = 100;
const shownLines = 6;
const controls = /\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]/g;

export function terminalDisplay(stream: OutputStream): BuildDisplay {
  const rows = new Map<number, Row>();
  const begun = Date.now();
  let drawn = 0;
  let drawing: Promise<void> = Promise.resolve();
  const draw = (isLast: boolean): Promise<void> => {
    drawing = drawing.then(async () => {
      // Some terminals do not know their size: then it is 0.
      const { width = 0, height = 0 } = stream.size() ?? {};
      const lines = picture([...rows.values()], begun, width || 80, isLast);
      const visible = isLast ? lines : withinHeight(lines, (height || 24) - 1);
      const back = drawn > 0 ? `\x1b[${drawn}A` : "";
      await stream.write(
        `\x1b[?25l${back}${visible.map((line) => `\x1b[2K${line}\n`).join("")}\x1b[0J\x1b[?25h`,
      );
      drawn = visible.length;
    });
    return drawing;
  };
  const timer = setInterval(() => {
    // A terminal that has gone away is noticed at the end.
    draw(false).catch(() => clearInterval(timer));
  }, interval);
  return {
    show: async (event) => {
      take(rows, event);
    },
    finish: async () => {
      clearInterval(timer);
      await draw(true);
    },
  };
}

function take(rows: Map<number, Row>, event: BuildEvent): void {
  if (event.kind === "vertex") {
    const { name } = event;
    rows.set(event.vertex, {
      name,
      started: undefined,
      finished: undefined,
      cached: false,
      error: undefined,
      statuses: new Map(),
      lines: [],
    });
    return;
  }
  if (!("vertex" in event) || event.vertex === undefined) return;
  const row = rows.get(event.vertex);
  if (row === undefined) return;
  switch (event.kind) {
    case "started":
      row.started = event.time;
      return;
    case "cached":
      row.started ??= event.time;
      row.finished = event.time;
      row.cached = true;
      return;
    case "finished":
      row.started ??= event.time;
      row.finished = event.time;
      row.error = event.error;
      return;
    case "status":
      row.statuses.set(event.text, { started: event.started, finished: event.finished });
      return;
    case "log": {
      const text = (row.lines.pop() ?? "") + Buffer.from(event.data).toString("utf8");
      row.lines = text.split("\n").slice(-shownLines - 1);
    }
  }
}

function picture(rows: readonly Row[], begun: number, width: number, isLast: boolean): string[] {
  const now = Date.now();
  const done = rows.filter(({ finished }) => finished !== undefined).length;
  const end = isLast && done === rows.length ? " FINISHED" : "";
  const lines = [`[+] Building ${seconds(now - begun)} (${done}/${rows.length})${end}`];
  for (const row of rows) {
    const end = row.finished ?? now;
    const mark =
      row.error === undefined
        ? row.cached
          ? "CACHED "
          : ""
        : row.error === "CANCELED"
          ? "CANCELED "
          : "ERROR ";
    const color = row.error !== undefined ? 31 : row.finished !== undefined ? 34 : 0;
    lines.push(
      aligned(
        ` => ${mark}${row.name}`,
        row.started === undefined ? "" : seconds(end - row.started),
        width,
        color,
      ),
    );
    for (const [text, status] of row.statuses) {
      lines.push(aligned(` => => ${text}`, seconds((status.finished ?? now) - status.started), width, color));
    }
    if (row.finished !== undefined) continue;
    for (const line of row.lines.filter((each) => each !== "").slice(-shownLines)) {
      lines.push(aligned(` => => # ${line.replace(controls, "")}`, "", width, 2));
    }
  }
  return lines;
}

function aligned(text: string, right: string, width: number, color: number): string {
  const room = Math.max(10, width - right.length - 2);
  const cut = text.length > room ? `${text.slice(0, room - 1)}…` : text.padEnd(room);
  const line = `${cut} ${right}`.trimEnd();
  return color === 0 ? line : `\x1b[${color}m${line}\x1b[0m`;
}

function seconds(milliseconds: number): string {
  return `${(Math.max(0, milliseconds) / 1000).toFixed(1)}s`;
}

/** The head and what comes last. */
function withinHeight(lines: readonly string[], height: number): string[] {
  if (lines.length <= height || height < 3) return [...lines].slice(0, Math.max(1, height));
  return [lines[0] ?? "", ...lines.slice(lines.length - height + 1)];
}
