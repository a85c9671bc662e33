/** Progress of layers in Docker's words: a line that changes for each. */
import { shortId } from "../../core/ids.ts";
import type { ProgressMessage, Report } from "../progress.ts";
import { progressBar } from "./progress-bar.ts";
import type { ComingLayer, LayerEvent, LayerWatch } from "./watch.ts";

/** A bar is drawn anew after so many bytes, or a hundredth of all, but not more often than this. */
const step = { bytes: 1 << 19, milliseconds: 100 };

/** Decides which of many reports of one movement are worth a line. */
export class Pace {
  #last = { action: "", current: 0, time: 0 };

  isDue(action: string, current: number, total: number): boolean {
    const now = Date.now();
    const isNew = this.#last.action !== action;
    const isEnd = current >= total && this.#last.current < total;
    const isFar = Math.abs(current - this.#last.current) >= Math.min(step.bytes, total / 100);
    if (!isNew && !isEnd && !(isFar && now - this.#last.time >= step.milliseconds)) return false;
    this.#last = { action, current, time: now };
    return true;
  }
}

export function barMessage(id: string, status: string, current: number, total: number): ProgressMessage {
  return { status, progressDetail: { current, total }, progress: progressBar(current, total), id };
}

/** What `pull` tells of layers. */
export function pullMessages(report: Report): LayerWatch {
  const paces = new Map<ComingLayer, Pace>();
  return (layer, event) => {
    const id = shortId(layer.descriptor?.digest ?? layer.chainId);
    switch (event.kind) {
      case "downloading":
      case "extracting": {
        const pace = paces.get(layer) ?? new Pace();
        paces.set(layer, pace);
        const action = event.kind === "downloading" ? "Downloading" : "Extracting";
        if (!pace.isDue(action, event.current, event.total)) return;
        report(barMessage(id, action, event.current, event.total));
        return;
      }
      default:
        report({ status: words[event.kind], progressDetail: {}, id });
    }
  };
}

const words: Record<Exclude<LayerEvent["kind"], "downloading" | "extracting">, string> = {
  exists: "Already exists",
  queued: "Pulling fs layer",
  waiting: "Waiting",
  verifying: "Verifying Checksum",
  downloaded: "Download complete",
  complete: "Pull complete",
};
