/** Lines of a Dockerfile as BuildKit prints them beside a message; a caret line is added. */
import type { Range, Source } from "./source.ts";

const widestCaret = 200;

/**
 * The lines of `lines` marked with `>>>`, some lines around them, and below the first line of `point` a caret.
 *
 *     Dockerfile:2
 *     --------------------
 *        1 |     FROM base
 *        2 | >>> RUM true
 *          |     ^^^
 *     --------------------
 */
export function excerpt(source: Source, lines: Range, point?: Range): string {
  const first = lines.start.line;
  const last = Math.min(Math.max(lines.end.line, first), source.lineCount);
  const context = padded(first, last, source.lineCount);
  let text = `${source.name}:${first}\n--------------------\n`;
  for (let line = context.first; line <= context.last; line += 1) {
    const marked = line >= first && line <= last;
    text += ` ${String(line).padStart(3)} | ${marked ? ">>>" : "   "} ${source.lineText(line)}\n`;
    if (point?.start.line === line) text += caret(source, point);
  }
  return `${text}--------------------\n`;
}

/** BuildKit's padding: two lines around several, four around one, taken above and below in turn. */
function padded(start: number, end: number, count: number): { first: number; last: number } {
  const wanted = start === end ? 4 : 2;
  let first = start;
  let last = end;
  for (let taken = 0; taken < wanted; ) {
    if (first > 1) {
      first -= 1;
      taken += 1;
    }
    if (last !== count) {
      last += 1;
      taken += 1;
    }
    taken += 1;
  }
  return { first, last };
}

function caret(source: Source, point: Range): string {
  const { line, column } = point.start;
  const text = source.lineText(line);
  // Tabs stay, so that the caret stands below what it means whatever a tab's width.
  const indent = text.slice(0, column - 1).replace(/[^\t]/g, " ");
  const end = point.end.line === line ? point.end.column : text.length + 1;
  const width = Math.min(Math.max(end - column, 1), widestCaret);
  return `     |     ${indent}${"^".repeat(width)}\n`;
}
