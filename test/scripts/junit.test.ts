import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addSums, summaryLine, sumOf } from "../../scripts/junit.ts";

const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="3" failures="1" skipped="1">
  <testsuite name="test/a.test.ts" file="test/a.test.ts">
    <testcase name="works &lt;well&gt;" classname="" time="0" file="test/a.test.ts" line="2" assertions="1" />
    <testcase name="is left out" classname="" time="0" file="test/a.test.ts" line="2"><skipped /></testcase>
    <testcase name="breaks" classname="a group" time="0" file="test/a.test.ts" line="2">
      <failure type="AssertionError" message="x &lt; y">text</failure>
    </testcase>
  </testsuite>
</testsuites>`;

test("a report's tests are counted by what became of them", () => {
  const sum = sumOf(report, ["test/a.test.ts"], 1);
  expect(sum).toEqual({
    passed: 1,
    failed: 1,
    skipped: 1,
    faults: ["test/a.test.ts: a group > breaks"],
  });
  expect(summaryLine(sum)).toBe("1 passed, 1 failed, 1 skipped");
});

test("a file that the report does not name has failed", () => {
  const sum = sumOf(report, ["test/a.test.ts", "test/b.test.ts"], 1);
  expect(sum.failed).toBe(2);
  expect(sum.faults).toContain("test/b.test.ts: did not run to a result");
});

test("a missing report is a failure", () => {
  expect(sumOf(undefined, ["test/a.test.ts"], 0).failed).toBe(1);
});

test("an exit code without a failed test is a failure", () => {
  const passed = report.replace(/<failure[\s\S]*<\/failure>/, "");
  expect(sumOf(passed, ["test/a.test.ts"], 0).failed).toBe(0);
  expect(sumOf(passed, ["test/a.test.ts"], 1).failed).toBe(1);
  expect(sumOf(passed, ["test/a.test.ts"], null).failed).toBe(1);
});

test("sums add up", () => {
  const total = sumOf(report, ["test/a.test.ts"], 1);
  addSums(total, { passed: 2, failed: 0, skipped: 0, faults: [] });
  expect(summaryLine(total)).toBe("3 passed, 1 failed, 1 skipped");
});

test("the runner's own report of a failed, a skipped and an unloadable file is read rightly", async () => {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-junit-"));
  try {
    writeFileSync(
      join(directory, "one.test.ts"),
      'import { test } from "bun:test";\ntest("good", () => {});\ntest.skip("later", () => {});\n' +
        'test("bad", () => { throw new Error("as planned"); });\n',
    );
    writeFileSync(
      join(directory, "two.test.ts"),
      'import { test } from "bun:test";\nimport "./not-there.ts";\ntest("never runs", () => {});\n',
    );
    const out = join(directory, "junit.xml");
    const child = Bun.spawn(
      [
        process.execPath,
        "test",
        "--parallel=2",
        "--reporter=junit",
        `--reporter-outfile=${out}`,
        "./one.test.ts",
        "./two.test.ts",
      ],
      { cwd: directory, stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    );
    const code = await child.exited;
    const sum = sumOf(await Bun.file(out).text(), ["one.test.ts", "two.test.ts"], code);
    expect(code).not.toBe(0);
    expect(sum).toEqual({
      passed: 1,
      failed: 2,
      skipped: 1,
      faults: ["one.test.ts: bad", "two.test.ts: did not run to a result"],
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
