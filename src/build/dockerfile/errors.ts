/** What is wrong with a Dockerfile, in BuildKit's words, and where. */
import { DavitError } from "../../core/errors.ts";
import { excerpt } from "./excerpt.ts";
import type { Range, Source } from "./source.ts";

/** Offsets into a logical line, `end` not included. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A fault found by what sees one logical line only; the parser turns it into a DockerfileError. */
export class LineFault extends DavitError {
  override readonly name = "LineFault";
  readonly span: Span | undefined;
  constructor(message: string, span?: Span) {
    super("invalid", message);
    this.span = span;
  }
}

/** A Dockerfile that cannot be built. `message` is BuildKit's; `render()` shows the lines with a caret. */
export class DockerfileError extends DavitError {
  override readonly name = "DockerfileError";
  readonly source: Source;
  /** The lines that are wrong: commonly one instruction. */
  readonly lines: Range;
  /** What exactly in these lines is wrong, where that is known. */
  readonly range: Range | undefined;

  constructor(message: string, source: Source, lines: Range, range?: Range, options?: { cause?: unknown }) {
    super("invalid", message, options);
    this.source = source;
    this.lines = lines;
    this.range = range;
  }

  /** The message below the lines it speaks of: what a terminal shows. */
  render(): string {
    return `${excerpt(this.source, this.lines, this.range)}${this.message}`;
  }
}
