/** A Dockerfile's text and the places in it. */

/** A place in a file. Lines and columns count from 1, columns in UTF-16 units, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
  /** Into the text, from 0. */
  readonly offset: number;
}

/** From `start` up to, not including, `end`. */
export interface Range {
  readonly start: Position;
  readonly end: Position;
}

export class Source {
  readonly name: string;
  readonly text: string;
  readonly #lineStarts: readonly number[];

  /** @param name what messages call it, commonly `Dockerfile` */
  constructor(name: string, text: string) {
    this.name = name;
    this.text = text;
    const starts = [0];
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
    this.#lineStarts = starts;
  }

  /** Lines as an editor counts them: a file that ends with a newline has an empty last one. */
  get lineCount(): number {
    return this.#lineStarts.length;
  }

  /** Offset of the first character of a line; the text's length for lines after the last. */
  lineStart(line: number): number {
    return this.#lineStarts[line - 1] ?? this.text.length;
  }

  /** Offset behind a line's last character, before its line break. */
  lineEnd(line: number): number {
    const next = this.#lineStarts[line];
    if (next === undefined) return this.text.length;
    return this.text[next - 2] === "\r" && next - 2 >= this.lineStart(line) ? next - 2 : next - 1;
  }

  lineText(line: number): string {
    return this.text.slice(this.lineStart(line), this.lineEnd(line));
  }

  position(offset: number): Position {
    const inside = Math.min(Math.max(offset, 0), this.text.length);
    let low = 0;
    let high = this.#lineStarts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= inside) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: inside - (this.#lineStarts[low] ?? 0) + 1, offset: inside };
  }

  range(start: number, end: number): Range {
    return { start: this.position(start), end: this.position(Math.max(start, end)) };
  }

  /** Whole lines, without the last one's line break. */
  linesRange(first: number, last: number): Range {
    const start = Math.min(Math.max(first, 1), this.lineCount);
    return this.range(this.lineStart(start), this.lineEnd(Math.min(Math.max(last, start), this.lineCount)));
  }
}
