/** `--explain`: what broke the cache, and what took the time. */
import type { BuildEvent } from "../../../engine/build.ts";

/** Steps named for the time that they took. */
const longestShown = 5;
/** Milliseconds; less is not worth a line. */
const shortest = 50;

export class SummaryOfBuild {
  readonly #names = new Map<number, string>();
  readonly #started = new Map<number, number>();
  readonly #took = new Map<number, number>();
  readonly #reasons = new Map<number, string>();
  #cached = 0;
  #first: number | undefined;
  #last = 0;

  take(event: BuildEvent): void {
    switch (event.kind) {
      case "vertex":
        this.#names.set(event.vertex, event.name);
        return;
      case "started":
        this.#first ??= event.time;
        this.#started.set(event.vertex, event.time);
        return;
      case "cached":
        this.#cached += 1;
        return;
      case "explanation":
        this.#reasons.set(event.vertex, event.reason);
        return;
      case "finished":
        this.#last = event.time;
        this.#took.set(event.vertex, event.time - (this.#started.get(event.vertex) ?? event.time));
    }
  }

  text(): string {
    return `\n${this.#cacheText()}${this.#timeText()}`;
  }

  #cacheText(): string {
    const cached = `${this.#cached} step${this.#cached === 1 ? "" : "s"} came from the cache`;
    if (this.#reasons.size === 0) return ` ${cached}, and none was built anew.\n`;
    const lines = [...this.#reasons].map(
      ([vertex, reason]) => `  ${this.#nameOf(vertex)}\n      ${printable(reason)}\n`,
    );
    return ` ${cached}. Built anew:\n${lines.join("")}`;
  }

  #timeText(): string {
    const longest = [...this.#took]
      .filter(([, took]) => took >= shortest)
      .sort(([, one], [, other]) => other - one)
      .slice(0, longestShown);
    if (longest.length === 0 || this.#first === undefined) return "";
    const lines = longest.map(([vertex, took]) => `  ${seconds(took)}  ${this.#nameOf(vertex)}\n`);
    return ` Of ${seconds(this.#last - this.#first).trim()}, most time went to:\n${lines.join("")}`;
  }

  #nameOf(vertex: number): string {
    return printable(this.#names.get(vertex) ?? "");
  }
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)}s`.padStart(7);
}

/** Names of files come from anywhere: a terminal is not to obey them. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => (character === "\n" ? " " : "\ufffd"));
}
