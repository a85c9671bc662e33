/**
 * `--progress=plain`, in BuildKit's shape: one vertex at a time, others wait until it is done or has been silent for a
 * while.
 *
 *     #5 [2/3] RUN make
 *     #5 0.123 cc -o app app.c
 *     #5 DONE 0.4s
 */
import type { BuildEvent } from "../../../engine/build.ts";
import type { OutputStream } from "../../io.ts";
import type { BuildDisplay } from "./display.ts";

interface Shown {
  readonly number: number;
  readonly name: string;
  started: number;
  cached: boolean;
  done: boolean;
  /** What is to be printed as soon as it is its turn; whole lines. */
  waiting: string[];
  /** The beginning of a line that has not ended yet, by stream. */
  partial: { stdout: string; stderr: string };
  readonly decoders: { stdout: TextDecoder; stderr: TextDecoder };
}

/** Milliseconds of silence after which another vertex may have its turn. */
const patience = 5_000;

export function plainDisplay(stream: OutputStream): BuildDisplay {
  const vertices = new Map<number, Shown>();
  let current: Shown | undefined;
  let lastPrinted = 0;
  let isFirst = true;

  const flush = async (now: number): Promise<void> => {
    for (;;) {
      if (
        current !== undefined &&
        current.waiting.length === 0 &&
        !current.done &&
        now - lastPrinted < patience
      )
        return;
      const next = current !== undefined && current.waiting.length > 0 ? current : nextOf(vertices.values());
      if (next === undefined) return;
      let text = "";
      if (next !== current) {
        if (current !== undefined && !current.done) text += `#${current.number} ...\n`;
        text += `${isFirst ? "" : "\n"}#${next.number} ${next.name}\n`;
        isFirst = false;
      }
      text += next.waiting.splice(0).join("");
      current = next.done ? undefined : next;
      lastPrinted = now;
      await stream.write(text);
    }
  };
  return {
    show: async (event) => {
      const now = Date.now();
      if (event.kind === "vertex") {
        vertices.set(event.vertex, newVertex(event.vertex, event.name));
        return;
      }
      if (!("vertex" in event) || event.vertex === undefined) return;
      const vertex = vertices.get(event.vertex);
      if (vertex === undefined) return;
      take(vertex, event);
      if (vertex.done && vertex === current && vertex.waiting.length === 0) current = undefined;
      await flush(now);
    },
    finish: async () => {
      for (const vertex of vertices.values()) {
        if (vertex.waiting.length > 0 && vertex !== current) vertex.done = true;
      }
      current = undefined;
      await flush(Number.POSITIVE_INFINITY);
    },
  };
}

function newVertex(number: number, name: string): Shown {
  return {
    number,
    name,
    started: 0,
    cached: false,
    done: false,
    waiting: [],
    partial: { stdout: "", stderr: "" },
    decoders: { stdout: new TextDecoder(), stderr: new TextDecoder() },
  };
}

/** Those that are done come first. */
function nextOf(vertices: Iterable<Shown>): Shown | undefined {
  let first: Shown | undefined;
  for (const vertex of vertices) {
    if (vertex.waiting.length === 0) continue;
    if (vertex.done) return vertex;
    first ??= vertex;
  }
  return first;
}

function take(vertex: Shown, event: BuildEvent): void {
  const { number } = vertex;
  switch (event.kind) {
    case "started":
      vertex.started = event.time;
      return;
    case "status": {
      if (event.finished === undefined) return;
      const seconds = (event.finished - event.started) / 1000;
      vertex.waiting.push(
        `#${number} ${event.text}${seconds > 0.01 ? ` ${seconds.toFixed(1)}s` : ""} done\n`,
      );
      return;
    }
    case "log":
      takeLog(vertex, event);
      return;
    case "cached":
      vertex.waiting.push(`#${number} CACHED\n`);
      vertex.done = true;
      return;
    case "finished":
      endLines(vertex, event.time);
      vertex.waiting.push(`#${number} ${outcome(vertex, event)}\n`);
      vertex.done = true;
  }
}

function outcome({ started }: Shown, event: BuildEvent & { kind: "finished" }): string {
  if (event.error === undefined) return `DONE ${((event.time - (started || event.time)) / 1000).toFixed(1)}s`;
  return event.error === "CANCELED" ? "CANCELED" : `ERROR: ${event.error}`;
}

function takeLog(vertex: Shown, event: BuildEvent & { kind: "log" }): void {
  const text =
    vertex.partial[event.stream] + vertex.decoders[event.stream].decode(event.data, { stream: true });
  const lines = text.split("\n");
  vertex.partial[event.stream] = lines.pop() ?? "";
  for (const line of lines) vertex.waiting.push(logLine(vertex, line, event.time));
}

function endLines(vertex: Shown, time: number): void {
  for (const stream of ["stdout", "stderr"] as const) {
    const rest = vertex.partial[stream] + vertex.decoders[stream].decode();
    vertex.partial[stream] = "";
    if (rest !== "") vertex.waiting.push(logLine(vertex, rest, time));
  }
}

function logLine({ number, started }: Shown, line: string, time: number): string {
  const seconds = Math.max(0, time - started) / 1000;
  // What a program overwrites on a terminal: its last state counts.
  const text = line.replace(/\r$/, "");
  return `#${number} ${seconds.toFixed(seconds >= 100 ? 1 : seconds >= 10 ? 2 : 3)} ${text}\n`;
}
