/** Docker's progress bar as text, for clients that show it as it comes. moby, pkg/jsonmessage */
import { humanSize } from "../../core/sizes.ts";

const barWidth = 50;

/** `[=====>      ]  1.2MB/4.5MB`; empty when nothing is known. */
export function progressBar(current: number, total: number): string {
  if (current <= 0 && total <= 0) return "";
  if (total <= 0) return humanSize(current).padStart(8);
  const done = Math.min(barWidth, Math.floor(Math.floor((current / total) * 100) / 2));
  const numbers = current > total ? "" : `/${humanSize(total)}`;
  return `[${"=".repeat(done)}>${" ".repeat(barWidth - done)}] ${humanSize(current).padStart(8)}${numbers}`;
}
