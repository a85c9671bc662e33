/** How far one layer is, in the words and figures of docker. */
import type { ProgressMessage } from "../../engine/engine.ts";
import { humanSize } from "../format/units.ts";

export type ProgressDetail = NonNullable<ProgressMessage["progressDetail"]>;

/** Cells of a full bar, as docker draws it; a bar of fewer than `fewestCells` says nothing. */
const mostCells = 50;
const fewestCells = 10;
/** Columns that the longest line with a bar takes besides the bar's cells, and the last column, which stays free. */
const columnsBeside = 47;

/** `[====>   ]  12MB/30MB`, `12MB` or `3 s`; empty when nothing is known. @param columns width of the terminal */
export function progressText({ current = 0, total = 0, units }: ProgressDetail, columns: number): string {
  if (current <= 0 && total <= 0) return "";
  const amount = (value: number) =>
    units === undefined || units === "" ? humanSize(value) : `${value} ${units}`;
  if (total <= 0) return units === undefined || units === "" ? amount(current).padStart(8) : amount(current);
  const numbers =
    current > total ? amount(current).padStart(8) : `${amount(current).padStart(8)}/${amount(total)}`;
  return bar(current / total, columns) + numbers;
}

/** Nothing is known of how far it is: the status says all. */
export function isBare(detail: ProgressDetail): boolean {
  return (detail.current ?? 0) <= 0 && (detail.total ?? 0) <= 0;
}

function bar(share: number, columns: number): string {
  const cells = Math.min(mostCells, columns - columnsBeside);
  if (cells < fewestCells) return "";
  const percent = Math.min(100, Math.trunc(share * 100));
  const filled = Math.trunc((percent * cells) / 100);
  return `[${"=".repeat(filled)}>${" ".repeat(cells - filled)}] `;
}
