/** The last lines of the step that failed, and the lines of the Dockerfile, as BuildKit prints them below a failure. */
import type { BuildEvent } from "../../../engine/build.ts";

const shownLines = 10;
/** Kept of each step's output; characters. */
const keptText = 64 * 1024;

const ofCache = /^(?:importing cache manifest|pulling cached layers) from /;

export class SummaryOfFailure {
  readonly #names = new Map<number, string>();
  readonly #started = new Map<number, number>();
  readonly #output = new Map<number, string>();
  #failed: number | undefined;
  #excerpt = "";

  take(event: BuildEvent): void {
    switch (event.kind) {
      case "vertex":
        this.#names.set(event.vertex, event.name);
        return;
      case "started":
        this.#started.set(event.vertex, event.time);
        return;
      case "log": {
        const seconds = (event.time - (this.#started.get(event.vertex) ?? event.time)) / 1000;
        const text = Buffer.from(event.data).toString("utf8");
        const lines = text.split("\n").map((line, at, all) => {
          return line === "" && at === all.length - 1 ? "" : `${seconds.toFixed(3)} ${line}`;
        });
        const all = (this.#output.get(event.vertex) ?? "") + lines.join("\n");
        this.#output.set(event.vertex, all.slice(-keptText));
        return;
      }
      case "finished":
        if (event.error === undefined || event.error === "CANCELED") return;
        // A cache that is not there fails no build.
        if (ofCache.test(this.#names.get(event.vertex) ?? "")) return;
        this.#failed ??= event.vertex;
        return;
      case "failure":
        this.#excerpt = event.excerpt ?? "";
        if (event.vertex !== undefined) this.#failed = event.vertex;
    }
  }

  text(): string {
    const name = this.#failed === undefined ? undefined : this.#names.get(this.#failed);
    if (name === undefined) return this.#excerpt;
    const lines = (this.#output.get(this.#failed ?? 0) ?? "")
      .replace(/\n$/, "")
      .split("\n")
      .slice(-shownLines);
    const output = lines.join("") === "" ? "" : `${lines.join("\n")}\n`;
    return `------\n > ${name}:\n${output}------\n${this.#excerpt}`;
  }
}
