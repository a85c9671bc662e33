/** Tables, sizes and durations as people read them. */
import { describe, expect, test } from "bun:test";
import { describePorts } from "../../src/cli/container/row.ts";
import { naturalOrder } from "../../src/cli/format/order.ts";
import { formatRows, Row } from "../../src/cli/format/rows.ts";
import { alignTabs } from "../../src/cli/format/tabs.ts";
import { binarySize, ellipsis, goTimeOf, humanDuration, humanSize } from "../../src/cli/format/units.ts";

test("durations", () => {
  const second = 1000;
  const minute = 60 * second;
  const hour = 60 * minute;
  const day = 24 * hour;
  const cases: [number, string][] = [
    [-5, "Less than a second"],
    [999, "Less than a second"],
    [second, "1 second"],
    [59.9 * second, "59 seconds"],
    [minute, "About a minute"],
    [119 * second, "About a minute"],
    [2 * minute, "2 minutes"],
    [59 * minute, "59 minutes"],
    [hour, "About an hour"],
    [89 * minute, "About an hour"],
    [90 * minute, "2 hours"],
    [47 * hour, "47 hours"],
    [2 * day, "2 days"],
    [13 * day, "13 days"],
    [14 * day, "2 weeks"],
    [59 * day, "8 weeks"],
    [60 * day, "2 months"],
    [729 * day, "24 months"],
    [730 * day, "2 years"],
  ];
  for (const [milliseconds, text] of cases) expect(humanDuration(milliseconds)).toBe(text);
});

test("sizes", () => {
  expect([0, 999, 1000, 1024, 1_982_469, 1e9, 123_456_789_012].map((size) => humanSize(size, 3))).toEqual([
    "0B",
    "999B",
    "1kB",
    "1.02kB",
    "1.98MB",
    "1GB",
    "123GB",
  ]);
  expect(humanSize(999_600, 3)).toBe("1e+03kB");
  expect(humanSize(1_982_469)).toBe("1.982MB");
  expect([0, 1023, 1024, 1536, 64 * 2 ** 20, 25_271_304_192].map(binarySize)).toEqual([
    "0B",
    "1023B",
    "1KiB",
    "1.5KiB",
    "64MiB",
    "23.54GiB",
  ]);
});

test("long text ends in an ellipsis, counted in letters", () => {
  expect(ellipsis("12345678901234567890", 20)).toBe("12345678901234567890");
  expect(ellipsis("123456789012345678901", 20)).toBe("1234567890123456789…");
  expect(ellipsis("ééééé", 5)).toBe("ééééé");
});

test("times of networks keep their nanoseconds and zone", () => {
  expect(goTimeOf("2026-11-21T00:41:59.317033181Z")).toBe("2026-11-21 00:41:59.317033181 +0000 UTC");
  expect(goTimeOf("2026-11-21T00:41:59.500000000+01:00")).toBe("2026-11-21 00:41:59.5 +0100 +0100");
  expect(goTimeOf("2026-11-21T00:41:59Z")).toBe("2026-11-21 00:41:59 +0000 UTC");
});

describe("columns", () => {
  test("each is as wide as its widest cell and three, but at least ten", () => {
    expect(alignTabs("A\tLONG HEADING\tEND\nxx\ty\tz\n")).toBe(
      "A         LONG HEADING   END\nxx        y              z\n",
    );
  });

  test("a line without a cell ends the column", () => {
    expect(alignTabs("long first cell\tx\n\na\tb\n")).toBe("long first cell   x\n\na         b\n");
  });

  test("the last cell of a line is not padded, and letters count, not bytes", () => {
    expect(alignTabs("éééééééé\tx\ttail\n")).toBe("éééééééé   x         tail\n");
  });

  test("text without tabs stays as it is", () => {
    expect(alignTabs("a\nb\n")).toBe("a\nb\n");
    expect(alignTabs("")).toBe("");
  });
});

describe("lists", () => {
  const layout = {
    headings: { ID: "IDENTITY", Name: "NAME" },
    table: "{{.ID}}\t{{.Name}}",
    quiet: "{{.ID}}",
  };
  const row = (id: string, name: string) =>
    new Row("row", { ID: () => id, Name: () => name }, { Label: (key) => key });
  const rows = [row("1", "one"), row("2", "two")];

  test("by format", () => {
    const cases: [format: string, quiet: boolean, output: string][] = [
      ["", false, "IDENTITY   NAME\n1          one\n2          two\n"],
      ["table", false, "IDENTITY   NAME\n1          one\n2          two\n"],
      ["", true, "1\n2\n"],
      ["{{.Name}}", false, "one\ntwo\n"],
      ["{{.Name}}", true, "one\ntwo\n"],
      ["json", false, '{"ID":"1","Name":"one"}\n{"ID":"2","Name":"two"}\n'],
      ["table {{.Name}}\\t{{upper .Name}}", false, "NAME      NAME\none       ONE\ntwo       TWO\n"],
      [
        'table {{.Label "com.example.some-thing"}}',
        false,
        "some thing\ncom.example.some-thing\ncom.example.some-thing\n",
      ],
      ["{{.ID}}\\n{{.Name}}", false, "1\none\n2\ntwo\n"],
      ["constant", false, "constant\nconstant\n"],
    ];
    for (const [format, quiet, output] of cases) expect(formatRows(layout, format, quiet, rows)).toBe(output);
  });

  test("a table of nothing has its headings", () => {
    expect(formatRows(layout, "", false, [])).toBe("IDENTITY   NAME\n");
    expect(formatRows(layout, "json", false, [])).toBe("");
  });

  test("a bad format is named", () => {
    expect(() => formatRows(layout, "{{.Foo}}", false, rows)).toThrow(
      'template parsing error: template: :1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type row',
    );
    expect(() => formatRows(layout, "{{", false, [])).toThrow(
      "template parsing error: template: :1: unclosed action",
    );
  });
});

test("names sort as people count", () => {
  const names = ["net10", "net2", "a", "net", "b1c2", "b1c10", "10", "9"];
  expect(names.sort(naturalOrder)).toEqual(["9", "10", "a", "b1c2", "b1c10", "net", "net2", "net10"]);
});

test("ports are gathered into ranges", () => {
  const tcp = (PrivatePort: number, PublicPort?: number, IP?: string) => ({
    PrivatePort,
    Type: "tcp" as const,
    ...(PublicPort === undefined ? {} : { PublicPort }),
    ...(IP === undefined ? {} : { IP }),
  });
  expect(describePorts([])).toBe("");
  expect(describePorts([tcp(82), tcp(80), tcp(81), tcp(90)])).toBe("80-82/tcp, 90/tcp");
  expect(describePorts([tcp(80, 8080, "0.0.0.0"), tcp(80, 8080, "::")])).toBe(
    "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
  );
  expect(describePorts([tcp(80, 80, "0.0.0.0"), tcp(81, 81, "0.0.0.0")])).toBe("0.0.0.0:80-81->80-81/tcp");
  expect(describePorts([{ PrivatePort: 53, PublicPort: 53, IP: "127.0.0.1", Type: "udp" }, tcp(53)])).toBe(
    "53/tcp, 127.0.0.1:53->53/udp",
  );
});
