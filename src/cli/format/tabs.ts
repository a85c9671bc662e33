/**
 * Aligns tab-separated cells as Go's text/tabwriter: a column is a run of neighbouring lines that have a
 * tab-terminated cell there; its width is its widest cell and the padding, but at least `least`.
 */

export interface TabOptions {
  /** Least width of a column, padding included. */
  least: number;
  padding: number;
}

const dockerTable: TabOptions = { least: 10, padding: 3 };

/** @param text lines, each ended by a newline */
export function alignTabs(text: string, options: TabOptions = dockerTable): string {
  const lines = text.split("\n").map((line) => line.split("\t"));
  const output = lines.map(() => "");
  alignColumn(lines, output, 0, 0, lines.length, options);
  return lines.map((line, at) => (output[at] ?? "") + (line.at(-1) ?? "")).join("\n");
}

/** Pads the cells of one column, and right of it all others, in lines from `first` up to `end`. */
function alignColumn(
  lines: readonly string[][],
  output: string[],
  column: number,
  first: number,
  end: number,
  options: TabOptions,
): void {
  const hasCell = (at: number) => column < (lines[at]?.length ?? 0) - 1;
  for (let start = first; start < end; start += 1) {
    if (!hasCell(start)) continue;
    let stop = start;
    let width = options.least;
    for (; stop < end && hasCell(stop); stop += 1) {
      width = Math.max(width, letters(lines[stop]?.[column]) + options.padding);
    }
    for (let at = start; at < stop; at += 1) {
      const cell = lines[at]?.[column] ?? "";
      output[at] = (output[at] ?? "") + cell + " ".repeat(width - letters(cell));
    }
    alignColumn(lines, output, column + 1, start, stop, options);
    start = stop;
  }
}

/** Code points, as Go counts them. */
function letters(cell = ""): number {
  return Buffer.byteLength(cell) === cell.length ? cell.length : [...cell].length;
}
