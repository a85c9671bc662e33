/** Flags are read as Docker's flag library reads them. */
import { describe, expect, test } from "bun:test";
import { FlagSet } from "../../src/cli/flags/flag-set.ts";
import { describeFlags } from "../../src/cli/flags/help.ts";
import { parseFlags } from "../../src/cli/flags/parse.ts";
import {
  parseBool,
  parseBytes,
  parseDuration,
  parseInteger,
  parseNanoCpus,
  parseUnsigned,
} from "../../src/cli/flags/values.ts";

function sample() {
  const flags = new FlagSet();
  return {
    flags,
    interactive: flags.bool("interactive", "Keep stdin open", { short: "i" }),
    tty: flags.bool("tty", "Allocate a terminal", { short: "t" }),
    proxy: flags.bool("sig-proxy", "Hand signals on", { initial: true }),
    env: flags.list("env", "Set variables", { short: "e" }),
    publish: flags.list("publish", "Publish ports", { short: "p" }),
    memory: flags.string("memory", "Memory limit", { short: "m" }),
    last: flags.int("last", "Show n", { short: "n", initial: -1 }),
    old: flags.string("time", "Old name", { deprecated: "use --timeout instead" }),
    later: flags.string("later", "Not yet", { unsupported: true }),
  };
}

function read(...words: string[]) {
  const options = sample();
  return { ...options, parsed: parseFlags(options.flags, words, false) };
}

describe("reading", () => {
  test("a cluster of letters sets each of them", () => {
    const { interactive, tty, parsed } = read("-it", "image", "sh");
    expect([interactive.value, tty.value, parsed.positional]).toEqual([true, true, ["image", "sh"]]);
  });

  test("the last letter of a cluster takes its value from the rest, from behind =, or from the next word", () => {
    expect(read("-ip8080:80").publish.value).toEqual(["8080:80"]);
    expect(read("-ip=8080:80").publish.value).toEqual(["8080:80"]);
    expect(read("-ip", "8080:80", "x").publish.value).toEqual(["8080:80"]);
    expect(read("-e", "-t", "x").env.value).toEqual(["-t"]);
    expect(read("-e=").env.value).toEqual(["="]);
  });

  test("a long flag takes its value from behind = or from the next word", () => {
    expect(read("--memory=1g").memory.value).toBe("1g");
    expect(read("--memory", "1g").memory.value).toBe("1g");
    expect(read("--memory=").memory.value).toBe("");
    expect(read("--memory=a=b").memory.value).toBe("a=b");
  });

  test("a boolean takes a value only behind =", () => {
    const { interactive, proxy, parsed } = read("--interactive", "false", "--sig-proxy=false");
    expect([interactive.value, proxy.value]).toEqual([true, true]);
    expect(parsed.positional).toEqual(["false", "--sig-proxy=false"]);
    expect(read("--sig-proxy=0").proxy.value).toBe(false);
    expect(read("-t=false").tty.value).toBe(false);
  });

  test("lists grow, single values keep the last", () => {
    const { env, memory } = read("-e", "A=1", "--env=B=2", "-m1", "-m", "2");
    expect([env.value, memory.value]).toEqual([["A=1", "B=2"], "2"]);
  });

  test("the first word that is no flag ends the flags of commands that run commands", () => {
    const { tty, parsed } = read("-i", "image", "-t", "--memory");
    expect([tty.value, parsed.positional]).toEqual([false, ["image", "-t", "--memory"]]);
  });

  test("other commands take flags between and behind the words", () => {
    const options = sample();
    const { positional } = parseFlags(options.flags, ["a", "-t", "b", "--", "-i", "-"], true);
    expect([options.tty.value, options.interactive.value, positional]).toEqual([
      true,
      false,
      ["a", "b", "-i", "-"],
    ]);
  });

  test("a lone dash is a word, and -- ends the flags", () => {
    expect(read("-", "-t").parsed.positional).toEqual(["-", "-t"]);
    expect(read("-i", "--", "-t").parsed.positional).toEqual(["-t"]);
  });

  test("what the user gave is told from what is the default", () => {
    expect(read().last).toEqual({ value: -1, changed: false });
    expect(read("-n-1").last).toEqual({ value: -1, changed: true });
  });

  test("--help is noticed and -h warned about", () => {
    expect(read("--help").parsed.help).toBe(true);
    expect(read("-h").parsed).toMatchObject({
      help: true,
      warnings: ["Flag shorthand -h has been deprecated, use --help"],
    });
  });

  test("a deprecated flag works and says what to use", () => {
    const { old, parsed } = read("--time", "3");
    expect([old.value, parsed.warnings]).toEqual([
      "3",
      ["Flag --time has been deprecated, use --timeout instead"],
    ]);
  });
});

describe("mistakes", () => {
  const cases: [words: string[], message: string][] = [
    [["--foo"], "unknown flag: --foo"],
    [["--memry", "1"], "unknown flag: --memry\nDid you mean --memory?"],
    [["--sigproxy"], "unknown flag: --sigproxy\nDid you mean --sig-proxy?"],
    [["-Z"], "unknown shorthand flag: 'Z' in -Z"],
    [["-iZt"], "unknown shorthand flag: 'Z' in -Zt"],
    [["-e"], "flag needs an argument: 'e' in -e"],
    [["-ie"], "flag needs an argument: 'e' in -e"],
    [["--env"], "flag needs an argument: --env"],
    [["--=x"], "bad flag syntax: --=x"],
    [["---x"], "bad flag syntax: ---x"],
    [
      ["-n", "x"],
      'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax',
    ],
    [
      ["--tty=x"],
      'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": invalid syntax',
    ],
    [["--later", "x"], "--later is not supported yet by davit"],
  ];
  for (const [words, message] of cases) {
    test(`${words.join(" ")}: ${message.split("\n", 1)[0]}`, () => {
      expect(() => read(...words)).toThrow(message);
    });
  }

  test("a flag that is not supported yet is not suggested", () => {
    expect(() => read("--laterr")).toThrow(/^unknown flag: --laterr$/);
  });
});

describe("values", () => {
  test("whole numbers in Go's spellings", () => {
    expect(["10", "-3", "+4", "0x1f", "0b11", "0o17", "017", "0"].map(parseInteger)).toEqual([
      10, -3, 4, 31, 3, 15, 15, 0,
    ]);
    for (const bad of ["", "x", "1.5", "1e3", " 1", "08", "0x", "1_0", "--1"]) {
      expect(() => parseInteger(bad)).toThrow("invalid syntax");
    }
    expect(() => parseInteger("9223372036854775808")).toThrow("value out of range");
    expect(() => parseUnsigned("65536", 16)).toThrow("value out of range");
    expect(() => parseUnsigned("-1", 16)).toThrow("invalid syntax");
  });

  test("truth in Go's spellings", () => {
    expect(["1", "t", "TRUE", "true", "True"].every(parseBool)).toBe(true);
    expect(["0", "f", "FALSE", "false", "False"].some(parseBool)).toBe(false);
    for (const bad of ["", "yes", "tRUE", "2"]) expect(() => parseBool(bad)).toThrow("strconv.ParseBool");
  });

  test("durations in nanoseconds", () => {
    expect(["0", "1s", "1m30s", "1.5h", "-2ms", ".5s", "1h2m3s4ms5us6ns"].map(parseDuration)).toEqual([
      0, 1e9, 90e9, 5400e9, -2e6, 5e8, 3_723_004_005_006,
    ]);
    expect(() => parseDuration("5")).toThrow('time: missing unit in duration "5"');
    for (const bad of ["", "s", "1x", "1s 2s", "1..5s"]) expect(() => parseDuration(bad)).toThrow(/^time: /);
  });

  test("sizes in powers of 1024", () => {
    expect(["0", "1b", "512m", "1.5k", "64KiB", "2GB", "1 g", "3t"].map(parseBytes)).toEqual([
      0,
      1,
      512 * 2 ** 20,
      1536,
      65_536,
      2 ** 31,
      2 ** 30,
      3 * 2 ** 40,
    ]);
    for (const bad of ["", "x", "m", "-1", "1x", "1kk", "1ki", "1 k b", "0x10", "1,5m", "1e3"]) {
      expect(() => parseBytes(bad)).toThrow();
    }
  });

  test("CPUs in billionths", () => {
    expect(["1", "1.5", "0.001", ".5", "2e0"].map(parseNanoCpus)).toEqual([1e9, 1.5e9, 1e6, 5e8, 2e9]);
    expect(() => parseNanoCpus("x")).toThrow("failed to parse x as a rational number");
    expect(() => parseNanoCpus("0.0000000001")).toThrow("value is too precise");
  });
});

test("help shows the flags in order, wrapped, with their defaults, and hides what cannot be used", () => {
  expect(describeFlags(sample().flags.all, 60)).toBe(
    `  -e, --env list        Set variables
  -i, --interactive     Keep stdin open
  -n, --last int        Show n (default -1)
  -m, --memory string   Memory limit
  -p, --publish list    Publish ports
      --sig-proxy       Hand signals on (default true)
  -t, --tty             Allocate a terminal
`,
  );
  const flags = new FlagSet();
  flags.string("name", "A description that is too long for one line of the terminal that it is shown on", {});
  expect(describeFlags(flags.all, 60)).toBe(
    `      --name string   A description that is too long
                      for one line of the terminal
                      that it is shown on
`,
  );
});
