/** Go templates over JSON. What docker itself says stands in oracle.test.ts; here are the corners. */
import { describe, expect, test } from "bun:test";
import { Row } from "../../src/cli/format/rows.ts";
import { shaped } from "../../src/cli/format/shapes.ts";
import { Template } from "../../src/cli/format/template/template.ts";
import { fromJson } from "../../src/cli/format/template/values.ts";

const data = {
  Name: "web",
  Count: 3,
  Ratio: 0.5,
  On: true,
  Off: false,
  Nothing: null,
  Labels: { b: "2", a: "1" },
  List: ["x", "y", "z"],
  Empty: [],
  Nested: { Deep: { Er: "bottom" } },
};

function run(source: string): string {
  return new Template(source).run(fromJson(data));
}

describe("templates", () => {
  const cases: [source: string, output: string][] = [
    ["plain", "plain"],
    ["", ""],
    ["{{.Name}}-{{.Count}}", "web-3"],
    ["{{.Ratio}} {{.On}} {{.Nothing}} {{.Missing}}", "0.5 true <nil> <no value>"],
    ["{{.Labels}} {{.List}} {{.Empty}}", "map[a:1 b:2] [x y z] []"],
    ["{{.Nested.Deep.Er}} {{.Missing.Deeper}}", "bottom <no value>"],
    ["{{if .On}}a{{else}}b{{end}}{{if .Off}}a{{else}}b{{end}}", "ab"],
    ["{{if .Off}}1{{else if .On}}2{{else}}3{{end}}", "2"],
    ["{{if .Empty}}full{{else}}empty{{end}}", "empty"],
    ["{{with .Nested.Deep}}{{.Er}}{{end}}{{with .Nothing}}x{{else}}none{{end}}", "bottomnone"],
    ["{{range .List}}<{{.}}>{{end}}", "<x><y><z>"],
    ["{{range $i, $v := .List}}{{$i}}{{$v}} {{end}}", "0x 1y 2z "],
    ["{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"],
    ["{{range .Empty}}x{{else}}nothing{{end}}", "nothing"],
    ['{{range .List}}{{if eq . "y"}}{{continue}}{{end}}{{.}}{{end}}', "xz"],
    ['{{range .List}}{{if eq . "y"}}{{break}}{{end}}{{.}}{{end}}', "x"],
    ["{{range .List}}{{$.Name}}{{end}}", "webwebweb"],
    ["{{$x := 1}}{{range .List}}{{$x = 2}}{{end}}{{$x}}", "2"],
    ["{{$x := .Name}}{{with .Nested}}{{$x}}{{end}}", "web"],
    ['{{(index .List 1)}} {{index .Labels "a"}} {{index .Labels "zz"}}|', "y 1 <no value>|"],
    ["{{(.Nested).Deep.Er}}", "bottom"],
    ['{{.Name | printf "%s-%s" "a" | upper}}', "A-WEB"],
    ["a  {{- .Name -}}  b", "awebb"],
    ["a {{/* c */}} b {{- /* d */ -}} c", "a  b c".replace(" c", "c")],
    ['{{"a\\tb\\"\\u00e9"}} {{`raw\\n`}} {{\'a\'}}', 'a\tb"é raw\\n 97'],
    ["{{0x10}} {{1_000}} {{1.5}} {{-3}} {{true}}", "16 1000 1.5 -3 true"],
    ['{{and 1 0 2}} {{or 0 "" "x"}} {{not 0}} {{and 1 2}}', "0 x true 2"],
    [
      '{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1 2}}',
      "true true true true true false",
    ],
    ["{{len .Name}} {{len .List}} {{len .Labels}}", "3 3 2"],
    ["{{slice .Name 1}} {{slice .List 0 2}}", "eb [x y]"],
    ['{{print 1 2 "a" 3}} {{println 1 "a"}}', "1 2a3 1 a\n"],
    ["{{json .Labels}} {{json .Name}} {{json .Missing}}", '{"a":"1","b":"2"} "web" null'],
    ['{{join .List "-"}} {{split "a,b" ","}} {{title "foo bar"}} {{lower "AB"}}', "x-y-z [a b] Foo Bar ab"],
    ['{{pad "x" 1 2}}|{{pad "" 1 2}}|{{truncate "abcdef" 3}}|{{truncate "ab" 3}}', " x  ||abc|ab"],
    [
      '{{printf "%5s|%-5s|%05d|%x|%X|%q|%v|%t|%%|%c" "a" "b" 42 255 "hi" "q" .List true 65}}',
      '    a|b    |00042|ff|6869|"q"|[x y z]|true|%|A',
    ],
    ['{{printf "%d" "x"}} {{printf "%s"}} {{printf "a" 1}}', "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)"],
    ['{{printf "%.2f %6.1f %e" .Ratio .Ratio 1200.5}}', "0.50    0.5 1.200500e+03"],
    ['{{html "<a href=\'x\'>"}} {{urlquery "a b&c"}}', "&lt;a href=&#39;x&#39;&gt; a+b%26c"],
  ];
  for (const [source, output] of cases) {
    test(`${source} gives ${JSON.stringify(output)}`, () => {
      expect(run(source)).toBe(output);
    });
  }

  const mistakes: [source: string, message: string][] = [
    ["{{", "template: :1: unclosed action"],
    ["{{.Name", "template: :1: unclosed action"],
    ["a\n{{.Name\n}} {{end}}", "template: :3: unexpected {{end}}"],
    ["{{foo}}", 'template: :1: function "foo" not defined'],
    ["{{range .List}}", "template: :1: unexpected EOF"],
    ["{{if .On}}{{else}}", "template: :1: unexpected EOF"],
    ["{{if}}", "template: :1: missing value for if"],
    ["{{$x}}", 'template: :1: undefined variable "$x"'],
    ["{{(.Name}}", "template: :1: unclosed left paren"],
    ["{{)}}", "template: :1: unexpected right paren"],
    ['{{"a}}', "template: :1: unterminated quoted string"],
    ["{{`a}}", "template: :1: unterminated raw quoted string"],
    ["{{.Name}", "template: :1: bad character U+007D '}'"],
    ["{{1a}}", 'template: :1: bad number syntax: "1a"'],
    ["{{/* x }}", "template: :1: unclosed comment"],
    ["{{break}}", "template: :1: {{break}} outside {{range}}"],
    [
      "{{.Name.Foo}}",
      'template: :1:7: executing "" at <.Name.Foo>: can\'t evaluate field Foo in type string',
    ],
    [
      "{{.Nothing.Foo}}",
      'template: :1:10: executing "" at <.Nothing.Foo>: nil pointer evaluating interface {}.Foo',
    ],
    [
      "{{index .List 5}}",
      'template: :1:2: executing "" at <index .List 5>: error calling index: index out of range: 5',
    ],
    ["{{len 3}}", 'template: :1:2: executing "" at <len 3>: error calling len: len of type int'],
    [
      "{{upper .Count}}",
      'template: :1:8: executing "" at <.Count>: wrong type for value; expected string; got int',
    ],
  ];
  for (const [source, message] of mistakes) {
    test(`${JSON.stringify(source)} is refused: ${message}`, () => {
      expect(() => run(source)).toThrow(message);
    });
  }

  test("a missing key is an error where the caller says so", () => {
    const template = new Template("{{.Nested.Foo}}");
    expect(() => template.run(fromJson(data), { missingKeyIsError: true })).toThrow(
      'template: :1:9: executing "" at <.Nested.Foo>: map has no entry for key "Foo"',
    );
  });

  test("deep nesting and long templates are read", () => {
    const depth = 200;
    const source = "{{if .On}}".repeat(depth) + "x" + "{{end}}".repeat(depth);
    expect(run(source)).toBe("x");
    expect(run("{{.Name}}".repeat(20_000)).length).toBe(60_000);
  });

  test("keys of Object's prototype are keys like others", () => {
    expect(run("{{.constructor}} {{.__proto__}} {{.toString}}")).toBe("<no value> <no value> <no value>");
  });
});

describe("what Go knows by type", () => {
  const row = new Row(
    "*formatter.ContainerContext",
    { ID: () => "<1>", Names: () => "a&b" },
    { Label: (name) => `label ${name}` },
  );

  test("fields and methods of a row", () => {
    expect(new Template('{{.ID}} {{.Label "x"}}').run(row)).toBe("<1> label x");
    expect(new Template("{{json .}}").run(row)).toBe('{"ID":"\\u003c1\\u003e","Names":"a\\u0026b"}');
  });

  test("unknown fields name the type", () => {
    expect(() => new Template("{{.Foo}}").run(row)).toThrow(
      "can't evaluate field Foo in type *formatter.ContainerContext",
    );
    expect(() => new Template("{{.toString}}").run(row)).toThrow("can't evaluate field toString");
    expect(() => new Template("{{.Label}}").run(row)).toThrow("wrong number of args for Label: want 1 got 0");
  });

  test("an inspected object prints as Go's struct, with zero values for what is left out", () => {
    const container = shaped("container", {
      Id: "abc",
      State: { Status: "running", Running: true, Pid: 7 },
      HostConfig: { PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "8080" }] }, NanoCpus: 5e8 },
      Config: { Labels: null },
    });
    const run = (source: string) => new Template(source).run(container);
    expect(run("{{.ID}} {{.State.Pid}} {{.State.ExitCode}} {{.State.Error}}|")).toBe("abc 7 0 |");
    expect(run("{{.State}}")).toBe("{running true false false false false 7 0    <nil>}");
    expect(run("{{.HostConfig.PortBindings}} {{.HostConfig.NanoCPUs}}")).toBe(
      "map[80/tcp:[{ 8080}]] 500000000",
    );
    expect(run("{{.Config.Labels}} {{.HostConfig.Binds}} {{.Mounts}}")).toBe("map[] [] []");
    expect(() => run("{{.Id}}")).toThrow("can't evaluate field Id");
    expect(() => run("{{.State.Health.Status}}")).toThrow("nil pointer");
  });
});
