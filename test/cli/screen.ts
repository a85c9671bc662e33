/** What a terminal shows after the bytes it got: as much of one as davit's output uses. */

export class Screen {
  #columns: number;
  #rows: number;
  /** All lines since the beginning; the last `rows` of them are on the screen. */
  #lines: string[][] = [[]];
  #row = 0;
  #column = 0;
  #pending = "";

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.#rows = rows;
  }

  /** Lines that wrap anew, as most terminals do it, are for the caller to think of. */
  resize(columns: number, rows: number): void {
    this.#columns = columns;
    this.#rows = rows;
  }

  write(text: string): void {
    this.#pending += text;
    for (;;) {
      const match = /^(?:\x1b\[([?\d;]*)([A-Za-z])|[^\x1b])/u.exec(this.#pending);
      if (match === null) break;
      this.#pending = this.#pending.slice(match[0].length);
      if (match[2] === undefined) this.#put(match[0]);
      else this.#control(match[2], Number(match[1] || 1));
    }
    if (this.#pending.length > 100) throw new Error(`unknown sequence: ${JSON.stringify(this.#pending)}`);
  }

  /** Everything that was ever on it, scrolled away or not, without empty lines at the end. */
  get text(): string {
    return this.#lines
      .map((line) =>
        Array.from(line, (letter) => letter ?? " ")
          .join("")
          .trimEnd(),
      )
      .join("\n")
      .trimEnd();
  }

  /** The lines that are on it now. */
  get visible(): string[] {
    return this.#lines.slice(this.#top()).map((line) =>
      Array.from(line, (letter) => letter ?? " ")
        .join("")
        .trimEnd(),
    );
  }

  #top(): number {
    return Math.max(0, this.#lines.length - this.#rows);
  }

  #put(letter: string): void {
    if (letter === "\r") this.#column = 0;
    else if (letter === "\n") this.#down();
    else {
      if (this.#column >= this.#columns) {
        this.#column = 0;
        this.#down();
      }
      const line = this.#lines[this.#row];
      if (line === undefined) throw new Error(`no line ${this.#row}`);
      line[this.#column] = letter;
      this.#column += 1;
    }
  }

  #down(): void {
    this.#row += 1;
    if (this.#row === this.#lines.length) this.#lines.push([]);
  }

  #control(letter: string, count: number): void {
    const line = this.#lines[this.#row] ?? [];
    switch (letter) {
      case "A":
        this.#row = Math.max(this.#top(), this.#row - count);
        return;
      case "B":
        this.#row = Math.min(this.#lines.length - 1, this.#row + count);
        return;
      case "H":
        this.#row = this.#top();
        this.#column = 0;
        return;
      case "J":
        this.#lines.length = this.#row + 1;
        line.length = this.#column;
        return;
      case "K":
        if (count === 2) line.length = 0;
        else line.length = Math.min(line.length, this.#column);
        return;
      // Colours, and the question where the cursor is.
      case "m":
      case "n":
        return;
      default:
        throw new Error(`unknown control sequence: ${letter}`);
    }
  }
}
