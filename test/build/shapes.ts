/** davit's instructions in the shape in which the oracle prints BuildKit's. */
import type { CommandLine, Instruction } from "../../src/build/dockerfile/instructions.ts";
import type { Dockerfile } from "../../src/build/dockerfile/parse.ts";

export function instructionsOf(file: Dockerfile): Instruction[] {
  return [...file.globalArgs, ...file.stages.flatMap((stage) => [stage.from, ...stage.instructions])];
}

/** The same fields, under the same names, as `dump` in oracle/main.go. */
export function asBuildKit(instruction: Instruction): Record<string, unknown> {
  const { keyword, code, comments, range } = instruction;
  return {
    type: instruction.kind === "from" ? "from" : keyword.toLowerCase(),
    keyword,
    code,
    comments: comments.length > 0 ? comments : null,
    lines: [range.start.line, range.end.line],
    ...fieldsOf(instruction),
  };
}

function fieldsOf(it: Instruction): Record<string, unknown> {
  switch (it.kind) {
    case "from":
      return {
        image: it.image.text,
        stage: it.stage ?? "",
        platform: it.platform,
        description: it.description,
      };
    case "run":
      return {
        ...command(it.command, false),
        FlagsUsed: flagNames(it.flags.map((flag) => flag.text)),
        Network: it.network,
        Security: it.security,
        Devices: it.devices.map(({ name, required }) => ({ Name: name, Required: required })),
        MountsFrom: it.mounts.map((mount) => mount.from),
      };
    case "cmd":
      return command(it.command, false);
    case "entrypoint":
      return command(it.command, true);
    case "label":
      return { Labels: it.labels.map(pair) };
    case "env":
      return { Env: it.variables.map(pair) };
    case "maintainer":
      return { Maintainer: it.maintainer };
    case "expose":
      return { Ports: it.ports };
    case "add":
      return {
        ...files(it),
        KeepGitDir: it.keepGitDir ?? null,
        Checksum: it.checksum,
        Unpack: it.unpack ?? null,
      };
    case "copy":
      return { ...files(it), From: it.from, Parents: it.parents };
    case "volume":
      return { Volumes: it.paths };
    case "user":
      return { User: it.user };
    case "workdir":
      return { Path: it.path };
    case "arg":
      return {
        Args: it.definitions.map(({ name, value, description }) => ({
          Key: name,
          Value: value ?? null,
          DocComment: description,
        })),
      };
    case "onbuild":
      return { Expression: it.trigger };
    case "stopsignal":
      return { Signal: it.signal };
    case "healthcheck":
      return { Health: health(it) };
    case "shell":
      return { Shell: it.shell };
  }
}

/** BuildKit lists the names of flags, in no order. */
function flagNames(written: readonly string[]): string[] {
  return [...new Set(written.map((flag) => flag.slice(2).split("=", 1)[0] ?? ""))].sort();
}

function command(line: CommandLine, isEntrypoint: boolean): Record<string, unknown> {
  if (line.form === "exec") {
    const words = line.arguments.length === 0 && isEntrypoint ? null : line.arguments;
    return { CmdLine: words, Files: null, PrependShell: false };
  }
  const words = line.text === "" ? (isEntrypoint ? null : []) : [line.text];
  const heredocs = line.heredocs.map(({ name, content, chomp }) => ({
    Name: name,
    Data: content,
    Chomp: chomp,
  }));
  return { CmdLine: words, Files: heredocs.length > 0 ? heredocs : null, PrependShell: true };
}

function pair({ key, value, legacy }: { key: string; value: string; legacy: boolean }): unknown {
  return { Key: key, Value: value, NoDelim: legacy };
}

function files(it: Extract<Instruction, { kind: "add" | "copy" }>): Record<string, unknown> {
  const contents = it.files.map(({ path, content, expand }) => ({
    Path: path,
    Data: content,
    Expand: expand,
  }));
  return {
    DestPath: it.destination.text,
    SourcePaths: it.sources.length > 0 ? it.sources.map((source) => source.text) : null,
    SourceContents: contents.length > 0 ? contents : null,
    Chown: it.chown,
    Chmod: it.chmod,
    Link: it.link,
    ExcludePatterns: it.exclude.length > 0 ? it.exclude : null,
  };
}

function health(it: Extract<Instruction, { kind: "healthcheck" }>): Record<string, unknown> {
  const fields: Record<string, unknown> = { Test: it.test };
  const add = (name: string, value: bigint | number) => {
    if (Number(value) !== 0) fields[name] = Number(value);
  };
  add("Interval", it.interval);
  add("Timeout", it.timeout);
  add("StartPeriod", it.startPeriod);
  add("StartInterval", it.startInterval);
  add("Retries", it.retries);
  return fields;
}
