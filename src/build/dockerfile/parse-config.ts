/** The instructions that change an image's config, and FROM and ARG. */
import { parseDuration } from "./durations.ts";
import { LineFault } from "./errors.ts";
import { type Flags, parseFlags } from "./flags.ts";
import type * as written from "./instructions.ts";
import { atLeastOne, commandLine, commonOf, descriptionOf, locate, onlyArgument } from "./parse-common.ts";
import type { Statement } from "./statements.ts";
import { quote, trimSpace } from "./text.ts";

export function parseFrom(statement: Statement): written.FromInstruction {
  const { args } = statement;
  const [image, as, name] = args;
  const isNamed = args.length === 3 && as?.text.toLowerCase() === "as";
  if (image === undefined || (args.length !== 1 && !isNamed)) {
    throw new LineFault("FROM requires either one or three arguments", args[1]?.span);
  }
  const stage = isNamed ? name?.text.toLowerCase() : undefined;
  if (stage !== undefined && !/^[a-z][a-z0-9_.-]*$/.test(stage)) {
    throw new LineFault(
      `invalid name for build stage: ${quote(name?.text ?? "")}, name can't start with a number or contain symbols`,
      name?.span,
    );
  }
  const flags = parseFlags(statement.flags, { platform: "string" });
  return {
    kind: "from",
    ...commonOf(statement),
    image: locate(statement, image),
    platform: flags.string("platform"),
    asKeyword: isNamed ? as?.text : undefined,
    stage,
    stageAsWritten: isNamed ? name?.text : undefined,
    description: descriptionOf(statement.comments, stage ?? ""),
  };
}

export function parseArg(statement: Statement): written.ArgInstruction {
  if (statement.args.length === 0) throw atLeastOne("ARG");
  const definitions = statement.args.map(({ text, span }) => {
    const at = text.indexOf("=");
    if (at === 0) throw new LineFault("ARG names can not be blank", span);
    const name = at < 0 ? text : text.slice(0, at);
    const description = descriptionOf(statement.comments, name);
    return { name, value: at < 0 ? undefined : text.slice(at + 1), description };
  });
  return { kind: "arg", ...commonOf(statement), definitions };
}

export function parseCmd(statement: Statement): written.CmdInstruction {
  parseFlags(statement.flags);
  return { kind: "cmd", ...commonOf(statement), command: commandLine(statement) };
}

export function parseEntrypoint(statement: Statement): written.EntrypointInstruction {
  parseFlags(statement.flags);
  return { kind: "entrypoint", ...commonOf(statement), command: commandLine(statement) };
}

export function parseEnv(statement: Statement): written.EnvInstruction {
  return { kind: "env", ...commonOf(statement), variables: parsePairs(statement, "ENV") };
}

export function parseLabel(statement: Statement): written.LabelInstruction {
  return { kind: "label", ...commonOf(statement), labels: parsePairs(statement, "LABEL") };
}

function parsePairs(statement: Statement, instruction: string): written.Pair[] {
  parseFlags(statement.flags);
  if (statement.pairs.length === 0) throw atLeastOne(instruction);
  return statement.pairs.map(({ key, value, legacy }) => {
    const span = { start: key.span.start, end: value.span.end };
    if (key.text === "") throw new LineFault(`${instruction} names can not be blank`, span);
    return { key: key.text, value: value.text, legacy, range: statement.line.range(span) };
  });
}

export function parseMaintainer(statement: Statement): written.MaintainerInstruction {
  const maintainer = onlyArgument(statement, "MAINTAINER");
  parseFlags(statement.flags);
  return { kind: "maintainer", ...commonOf(statement), maintainer };
}

export function parseExpose(statement: Statement): written.ExposeInstruction {
  if (statement.args.length === 0) throw atLeastOne("EXPOSE");
  parseFlags(statement.flags);
  const ports = statement.args.map((word) => word.text).sort(byBytes);
  return { kind: "expose", ...commonOf(statement), ports };
}

/** Go sorts strings by their bytes; JavaScript by UTF-16 units, which differ beyond the basic plane. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export function parseVolume(statement: Statement): written.VolumeInstruction {
  if (statement.args.length === 0) throw atLeastOne("VOLUME");
  parseFlags(statement.flags);
  const paths = statement.args.map(({ text, span }) => {
    const path = trimSpace(text);
    if (path === "") throw new LineFault("VOLUME specified can not be an empty string", span);
    return path;
  });
  return { kind: "volume", ...commonOf(statement), paths };
}

export function parseUser(statement: Statement): written.UserInstruction {
  const user = onlyArgument(statement, "USER");
  parseFlags(statement.flags);
  return { kind: "user", ...commonOf(statement), user };
}

export function parseWorkdir(statement: Statement): written.WorkdirInstruction {
  const path = onlyArgument(statement, "WORKDIR");
  parseFlags(statement.flags);
  return { kind: "workdir", ...commonOf(statement), path };
}

export function parseStopsignal(statement: Statement): written.StopsignalInstruction {
  return { kind: "stopsignal", ...commonOf(statement), signal: onlyArgument(statement, "STOPSIGNAL") };
}

export function parseShell(statement: Statement): written.ShellInstruction {
  parseFlags(statement.flags);
  if (statement.args.length === 0) throw atLeastOne("SHELL");
  if (!statement.json) throw new LineFault("SHELL requires the arguments to be in JSON form");
  return { kind: "shell", ...commonOf(statement), shell: statement.args.map((word) => word.text) };
}

/** What cannot wait for a base image to be built upon. */
const forbiddenTriggers = ["MAINTAINER", "FROM"];

export function parseOnbuild(statement: Statement): written.OnbuildInstruction {
  const { inner, heredocs, line } = statement;
  if (inner === undefined) throw atLeastOne("ONBUILD");
  parseFlags(statement.flags);
  const trigger = trimSpace(inner.keyword.text).toUpperCase();
  if (trigger === "ONBUILD") {
    throw new LineFault("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", inner.keyword.span);
  }
  if (forbiddenTriggers.includes(trigger)) {
    throw new LineFault(`${trigger} isn't allowed as an ONBUILD trigger`, inner.keyword.span);
  }
  const text = line.text.replace(/^[\t\n\f\r ]*ONBUILD[\t\n\f\r ]*/i, "");
  const files = heredocs.map(({ content, name }) => `\n${content}${name}`);
  return { kind: "onbuild", ...commonOf(statement), trigger: text + files.join("") };
}

const healthcheckFlags = {
  interval: "string",
  timeout: "string",
  "start-period": "string",
  "start-interval": "string",
  retries: "string",
} as const;

export function parseHealthcheck(statement: Statement): written.HealthcheckInstruction {
  const [type, ...args] = statement.args;
  if (type === undefined) throw atLeastOne("HEALTHCHECK");
  const common = { kind: "healthcheck", ...commonOf(statement) } as const;
  const kind = type.text.toUpperCase();
  if (kind === "NONE") {
    if (args.length > 0) throw new LineFault("HEALTHCHECK NONE takes no arguments", args[0]?.span);
    const nothing = { interval: 0n, timeout: 0n, startPeriod: 0n, startInterval: 0n, retries: 0 };
    return { ...common, test: ["NONE"], ...nothing };
  }
  const flags = parseFlags(statement.flags, healthcheckFlags);
  if (kind !== "CMD") {
    throw new LineFault(`Unknown type ${quote(kind)} in HEALTHCHECK (try CMD)`, type.span);
  }
  if (args.length === 0) throw new LineFault("Missing command after HEALTHCHECK CMD");
  return {
    ...common,
    test: [statement.json ? "CMD" : "CMD-SHELL", ...args.map((word) => word.text)],
    interval: interval(flags, "interval"),
    timeout: interval(flags, "timeout"),
    startPeriod: interval(flags, "start-period"),
    startInterval: interval(flags, "start-interval"),
    retries: retries(flags),
  };
}

function interval(flags: Flags, name: string): bigint {
  const value = flags.string(name);
  if (value === "") return 0n;
  const duration = parseDuration(value);
  if (duration !== 0n && duration < 1_000_000n) {
    throw new LineFault(`Interval ${quote(name)} cannot be less than 1ms`, flags.word(name)?.span);
  }
  return duration;
}

/** strconv.ParseInt of 32 bits. */
function retries(flags: Flags): number {
  const value = flags.string("retries");
  if (value === "") return 0;
  const fault = (message: string) => new LineFault(message, flags.word("retries")?.span);
  if (!/^[-+]?[0-9]+$/.test(value)) {
    throw fault(`strconv.ParseInt: parsing ${quote(value)}: invalid syntax`);
  }
  const count = Number(value);
  if (count > 0x7fffffff || count < -0x80000000) {
    throw fault(`strconv.ParseInt: parsing ${quote(value)}: value out of range`);
  }
  if (count < 0) throw fault(`--retries cannot be negative (${count})`);
  return count;
}
