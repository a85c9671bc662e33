/** Help texts, laid out as Docker's: flags aligned, their descriptions wrapped to the terminal. */
import type { Flag } from "./flag-set.ts";

/** Lines may end up to this many columns later than asked, to keep a short last word on its line. */
const slop = 5;
/** Narrower than this, descriptions begin on a line of their own. */
const leastWidth = 24;

/** One line (or wrapped block) for each visible flag. @param columns width of the terminal */
export function describeFlags(flags: readonly Flag[], columns: number): string {
  const rows = flags
    .filter((flag) => !flag.hidden && flag.deprecated === undefined && !flag.unsupported)
    .map((flag) => {
      const short = flag.short === undefined ? "    " : `-${flag.short}, `;
      const kind = flag.kind === "" ? "" : ` ${flag.kind}`;
      const shownDefault = flag.shownDefault === "" ? "" : ` (default ${flag.shownDefault})`;
      return { left: `  ${short}--${flag.name}${kind}`, right: `${flag.usage}${shownDefault}` };
    });
  const width = Math.max(0, ...rows.map((row) => row.left.length));
  return rows
    .map(({ left, right }) => `${left.padEnd(width)}   ${wrap(right, width + 3, columns)}\n`)
    .join("");
}

/** Wraps `text` to `columns`, later lines indented by `indent`. */
function wrap(text: string, indent: number, columns: number): string {
  let margin = indent;
  let lead = "";
  if (columns - 1 - margin < leastWidth) {
    margin = 16;
    lead = `\n${" ".repeat(margin)}`;
  }
  // Docker leaves the last column free.
  const width = columns - 1 - margin - slop;
  const newline = `\n${" ".repeat(margin)}`;
  const lines: string[] = [];
  for (let rest = text; rest !== "" || lines.length === 0; ) {
    const [line, others] = cutLine(rest, width);
    lines.push(line.replaceAll("\n", newline));
    rest = others;
  }
  return lead + lines.join(newline);
}

/** The first line of `text` and what follows. */
function cutLine(text: string, width: number): [line: string, rest: string] {
  if (width + slop > text.length) return [text, ""];
  const head = text.slice(0, width);
  const space = Math.max(head.lastIndexOf(" "), head.lastIndexOf("\t"), head.lastIndexOf("\n"));
  if (space <= 0) return [text, ""];
  const newline = head.lastIndexOf("\n");
  const end = newline > 0 && newline < space ? newline : space;
  return [text.slice(0, end), text.slice(end + 1)];
}
