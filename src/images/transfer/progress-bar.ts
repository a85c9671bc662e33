/** Docker's progress bar as text, for clients that show it as it comes. moby, pkg/jsonmessage */

const barWidth = 50;
const units = ["B", "kB", "MB", "GB", "TB", "PB"];

/** `[=====>      ]  1.2MB/4.5MB`; empty when nothing is known. */
export function progressBar(current: number, total: number): string {
  if (current <= 0 && total <= 0) return "";
  if (total <= 0) return humanSize(current).padStart(8);
  const done = Math.min(barWidth, Math.floor(Math.floor((current / total) * 100) / 2));
  const numbers = current > total ? "" : `/${humanSize(total)}`;
  return `[${"=".repeat(done)}>${" ".repeat(barWidth - done)}] ${humanSize(current).padStart(8)}${numbers}`;
}

/** Four significant digits and a decimal unit, as Go's `%.4g%s`. */
function humanSize(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${Number(size.toPrecision(4))}${units[unit]}`;
}
