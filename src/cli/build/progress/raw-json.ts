/** `--progress=rawjson`: one JSON object a line, with the fields of BuildKit's own. */
import type { BuildEvent } from "../../../engine/build.ts";
import type { OutputStream } from "../../io.ts";
import type { BuildDisplay } from "./display.ts";

export function rawJsonDisplay(stream: OutputStream): BuildDisplay {
  const known = new Map<number, { digest: string; name: string; started?: string }>();
  return {
    show: async (event) => {
      if (event.kind === "vertex") {
        known.set(event.vertex, { digest: digestOf(event.digest, event.vertex), name: event.name });
      }
      const line = describe(event, known);
      if (line !== undefined) await stream.write(`${JSON.stringify(line)}\n`);
    },
    finish: async () => {},
  };
}

function describe(
  event: BuildEvent,
  known: Map<number, { digest: string; name: string; started?: string }>,
): object | undefined {
  if (event.kind === "warning") {
    const { rule, message, url } = event.warning;
    return { warnings: [{ short: Buffer.from(`${rule}: ${message}`).toString("base64"), url }] };
  }
  if (!("vertex" in event) || event.vertex === undefined) return undefined;
  const vertex = known.get(event.vertex);
  if (vertex === undefined) return undefined;
  switch (event.kind) {
    case "vertex":
      return { vertexes: [{ ...vertex }] };
    case "started":
      vertex.started = timeText(event.time);
      return { vertexes: [{ ...vertex }] };
    case "cached": {
      const at = timeText(event.time);
      return { vertexes: [{ ...vertex, started: at, completed: at, cached: true }] };
    }
    case "finished":
      return {
        vertexes: [
          {
            ...vertex,
            completed: timeText(event.time),
            ...(event.error === undefined ? {} : { error: event.error }),
          },
        ],
      };
    case "status":
      return {
        statuses: [
          {
            id: event.text,
            vertex: vertex.digest,
            timestamp: timeText(event.finished ?? event.started),
            started: timeText(event.started),
            ...(event.finished === undefined ? {} : { completed: timeText(event.finished) }),
          },
        ],
      };
    case "log":
      return {
        logs: [
          {
            vertex: vertex.digest,
            stream: event.stream === "stdout" ? 1 : 2,
            data: Buffer.from(event.data).toString("base64"),
            timestamp: timeText(event.time),
          },
        ],
      };
    default:
      return undefined;
  }
}

function digestOf(digest: string, vertex: number): string {
  return `sha256:${digest || String(vertex).padStart(64, "0")}`;
}

function timeText(time: number): string {
  return new Date(time).toISOString();
}
