/** Reads the test runner's JUnit reports, and distrusts them: what a report leaves out has failed. */

export interface Sum {
  passed: number;
  failed: number;
  skipped: number;
  /** One line for each thing that went wrong. */
  faults: string[];
}

function attribute(tag: string, name: string): string {
  const found = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? "";
  return found
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&#10;", " ")
    .replaceAll("&amp;", "&");
}

/**
 * Sums up one run. `report` is the report's text, undefined if there is none; `files` what was to run;
 * `exitCode` the runner's. A file that the report does not name, and a non-zero exit without a failed test,
 * count as one failure each.
 */
export function sumOf(report: string | undefined, files: readonly string[], exitCode: number | null): Sum {
  const sum: Sum = { passed: 0, failed: 0, skipped: 0, faults: [] };
  const reported = new Set<string>();
  for (const [, tag = "", closed, body = ""] of (report ?? "").matchAll(
    /<testcase(\s[^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const file = attribute(tag, "file");
    reported.add(file);
    const inside = closed === "/>" ? "" : body;
    if (/<(failure|error)\b/.test(inside)) {
      sum.failed += 1;
      const group = attribute(tag, "classname");
      sum.faults.push(`${file}: ${group === "" ? "" : `${group} > `}${attribute(tag, "name")}`);
    } else if (/<skipped\b/.test(inside)) {
      sum.skipped += 1;
    } else {
      sum.passed += 1;
    }
  }
  for (const file of files) {
    if (reported.has(file)) continue;
    sum.failed += 1;
    sum.faults.push(`${file}: did not run to a result`);
  }
  if (exitCode !== 0 && sum.failed === 0) {
    sum.failed += 1;
    sum.faults.push(`the test runner ended with ${exitCode === null ? "a signal" : `code ${exitCode}`}`);
  }
  return sum;
}

/** Adds `part` to `total`. */
export function addSums(total: Sum, part: Sum): void {
  total.passed += part.passed;
  total.failed += part.failed;
  total.skipped += part.skipped;
  total.faults.push(...part.faults);
}

export function summaryLine(sum: Sum): string {
  const skipped = sum.skipped === 0 ? "" : `, ${sum.skipped} skipped`;
  return `${sum.passed} passed, ${sum.failed} failed${skipped}`;
}
