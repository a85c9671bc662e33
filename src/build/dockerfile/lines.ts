/** Lines of a Dockerfile: as they are in the file, and joined at their continuation characters. */
import type { Span } from "./errors.ts";
import type { Range, Source } from "./source.ts";

/** The longest line that BuildKit's scanner takes: 64 KiB, its line break included. */
const longestLine = 64 * 1024;
export const tooLongLine = `dockerfile line greater than max allowed size of ${longestLine - 1}`;

/** Goes through a file line by line. */
export class LineScanner {
  readonly #source: Source;
  #line = 0;
  /** A line was too long: BuildKit's scanner ends there. */
  failed = false;

  constructor(source: Source) {
    this.#source = source;
  }

  /** The number of the line that `next` gave last. */
  get line(): number {
    return this.#line;
  }

  /** Offset of the line that `next` gave last. */
  get offset(): number {
    return this.#source.lineStart(this.#line);
  }

  /** The next line with its line break; undefined at the end. */
  next(): string | undefined {
    if (this.failed) return undefined;
    const { text } = this.#source;
    const start = this.#source.lineStart(this.#line + 1);
    if (start >= text.length) return undefined;
    const end = this.#source.lineStart(this.#line + 2);
    const line = text.slice(start, end);
    const limit = line.endsWith("\n") ? longestLine : longestLine - 1;
    if (line.length * 3 > limit && Buffer.byteLength(line) > limit) {
      this.failed = true;
      return undefined;
    }
    this.#line += 1;
    return line;
  }
}

/** One instruction's text, continuation lines joined, that knows where each character comes from. */
export class LogicalLine {
  readonly source: Source;
  readonly text: string;
  readonly firstLine: number;
  readonly lastLine: number;
  readonly #pieces: readonly Piece[];
  /** Where in the joined text each piece begins. */
  readonly #starts: readonly number[];

  constructor(source: Source, pieces: readonly Piece[], firstLine: number, lastLine: number) {
    this.source = source;
    this.text = pieces.map((piece) => piece.text).join("");
    const filled = pieces.filter((piece) => piece.text !== "");
    this.#pieces = filled.length > 0 ? filled : pieces.slice(0, 1);
    let length = 0;
    this.#starts = this.#pieces.map((piece) => {
      length += piece.text.length;
      return length - piece.text.length;
    });
    this.firstLine = firstLine;
    this.lastLine = lastLine;
  }

  /** Where in the file a span of the joined text is. */
  range(span: Span): Range {
    const start = this.#offset(span.start);
    // An end belongs to the piece before it.
    return this.source.range(start, span.end > span.start ? this.#offset(span.end - 1) + 1 : start);
  }

  #offset(at: number): number {
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    const piece = this.#pieces[low];
    if (piece === undefined) return this.source.lineStart(this.firstLine);
    return piece.offset + Math.min(at - (this.#starts[low] ?? 0), piece.text.length);
  }
}

export interface Piece {
  readonly text: string;
  /** Where it begins in the file. */
  readonly offset: number;
}

export function withoutLineBreak(line: string): string {
  let end = line.length;
  while (line[end - 1] === "\n" || line[end - 1] === "\r") end -= 1;
  return line.slice(0, end);
}
