/** `--change` of `import` and `commit`: a few Dockerfile instructions that alter an image's config. */
import { parseDuration } from "../core/durations.ts";
import { InvalidParameter } from "../core/errors.ts";
import type { ContainerConfig, HealthConfig } from "../core/objects.ts";
import { expandWords, splitWords } from "./words.ts";

/**
 * Applies each instruction in turn.
 * @throws InvalidParameter naming the instruction that is unknown or malformed.
 */
export function applyChanges(config: ContainerConfig, changes: readonly string[]): ContainerConfig {
  return changes.reduce(applyChange, config);
}

function applyChange(config: ContainerConfig, change: string): ContainerConfig {
  const [, keyword = "", rest = ""] = /^\s*(\S+)\s*([\s\S]*?)\s*$/.exec(change) ?? [];
  const instruction = keyword.toUpperCase();
  const required = (text: string): string => {
    if (text === "") throw new InvalidParameter(`${instruction} requires at least one argument`);
    return text;
  };
  const words = () => expandWords(splitWords(required(rest)), config.Env ?? []);
  const single = () => words().join(" ");
  switch (instruction) {
    case "CMD":
      return { ...config, Cmd: commandOf(rest, config) };
    case "ENTRYPOINT":
      return { ...config, Entrypoint: commandOf(rest, config) };
    case "ENV":
      return { ...config, Env: mergeEnv(config.Env ?? [], pairsOf(instruction, required(rest), config)) };
    case "LABEL": {
      const labels = pairsOf(instruction, required(rest), config);
      return { ...config, Labels: { ...config.Labels, ...Object.fromEntries(labels) } };
    }
    case "EXPOSE": {
      const ports = words().flatMap(portsOf);
      return { ...config, ExposedPorts: { ...config.ExposedPorts, ...setOf(ports) } };
    }
    case "VOLUME": {
      const volumes = jsonList(required(rest)) ?? words();
      return { ...config, Volumes: { ...config.Volumes, ...setOf(volumes) } };
    }
    case "USER":
      return { ...config, User: single() };
    case "WORKDIR":
      return { ...config, WorkingDir: workingDirectory(config.WorkingDir ?? "", single()) };
    case "STOPSIGNAL":
      return { ...config, StopSignal: single() };
    case "ONBUILD":
      return { ...config, OnBuild: [...(config.OnBuild ?? []), trigger(required(rest))] };
    case "HEALTHCHECK":
      return { ...config, Healthcheck: healthcheckOf(required(rest)) };
    default:
      throw new InvalidParameter(`${keyword || "(empty)"} is not a valid change command`);
  }
}

/** Exec form (a JSON list) or shell form. */
function commandOf(text: string, config: ContainerConfig): string[] {
  const list = jsonList(text);
  if (list !== undefined) return list;
  return text === "" ? [] : [...(config.Shell ?? ["/bin/sh", "-c"]), text];
}

/** The list of words that a text is, in JSON; undefined for any other text. */
export function jsonList(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((item) => typeof item === "string") ? list : undefined;
  } catch (error) {
    // Not JSON after all: then it is the shell form, as in a Dockerfile.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** `a=1 b="2 3"`, or the old form with one name and the rest of the line as its value. */
function pairsOf(instruction: string, text: string, config: ContainerConfig): [string, string][] {
  const environment = config.Env ?? [];
  const words = splitWords(text);
  const [first = ""] = words;
  if (!first.includes("=")) {
    const [, name, value] = /^(\S+)\s+([\s\S]+)$/.exec(text) ?? [];
    if (name === undefined || value === undefined) {
      throw new InvalidParameter(`${instruction} must have two arguments`);
    }
    return [[name, expandWords([value], environment).join(" ")]];
  }
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals <= 0) {
      throw new InvalidParameter(
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    }
    const [name = ""] = expandWords([word.slice(0, equals)], environment);
    const [value = ""] = expandWords([word.slice(equals + 1)], environment);
    return [name, value];
  });
}

function mergeEnv(environment: readonly string[], pairs: readonly [string, string][]): string[] {
  const merged = [...environment];
  for (const [name, value] of pairs) {
    const at = merged.findIndex((entry) => entry.split("=", 1)[0] === name);
    if (at < 0) merged.push(`${name}=${value}`);
    else merged[at] = `${name}=${value}`;
  }
  return merged;
}

/** `80`, `80/udp`, `8000-8010/tcp`. */
function portsOf(text: string): string[] {
  const [, first, last, protocol = "tcp"] =
    /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  const from = Number(first);
  const to = Number(last ?? first);
  if (first === undefined || from > to || to > 65535) {
    throw new InvalidParameter(`Invalid containerPort: ${text}`);
  }
  return Array.from({ length: to - from + 1 }, (_, step) => `${from + step}/${protocol.toLowerCase()}`);
}

function workingDirectory(current: string, next: string): string {
  const path = next.startsWith("/") ? next : `${current || ""}/${next}`;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

function trigger(text: string): string {
  const [keyword = ""] = text.toUpperCase().split(/\s/, 1);
  if (keyword === "ONBUILD") {
    throw new InvalidParameter("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  }
  if (keyword === "MAINTAINER" || keyword === "FROM") {
    throw new InvalidParameter(`${keyword} isn't allowed as an ONBUILD trigger`);
  }
  return text;
}

function healthcheckOf(text: string): HealthConfig {
  const [kind = "", ...rest] = text.split(/\s+/);
  if (kind.toUpperCase() === "NONE") {
    if (rest.length > 0) throw new InvalidParameter("HEALTHCHECK NONE takes no arguments");
    return { Test: ["NONE"] };
  }
  const health: HealthConfig = {};
  let remaining = text;
  for (;;) {
    const [flag, name, value] = /^--([a-z-]+)=(\S+)\s*/.exec(remaining) ?? [];
    if (flag === undefined || name === undefined || value === undefined) break;
    remaining = remaining.slice(flag.length);
    setHealthOption(health, name, value);
  }
  const [, command = ""] = /^CMD\s+([\s\S]+)$/i.exec(remaining) ?? [];
  if (command === "") {
    throw new InvalidParameter(
      /^CMD\s*$/i.test(remaining)
        ? "Missing command after HEALTHCHECK CMD"
        : `Unknown type ${JSON.stringify(remaining.split(/\s/, 1)[0])} in HEALTHCHECK (try CMD)`,
    );
  }
  const list = jsonList(command);
  return { Test: list === undefined ? ["CMD-SHELL", command] : ["CMD", ...list], ...health };
}

function setHealthOption(health: HealthConfig, name: string, value: string): void {
  if (name === "retries") {
    const retries = Number(value);
    if (!Number.isInteger(retries) || retries < 1) {
      throw new InvalidParameter(`--retries must be at least 1 (not ${value})`);
    }
    health.Retries = retries;
  } else if (name === "interval") health.Interval = durationOf(name, value);
  else if (name === "timeout") health.Timeout = durationOf(name, value);
  else if (name === "start-period") health.StartPeriod = durationOf(name, value);
  else if (name === "start-interval") health.StartInterval = durationOf(name, value);
  else throw new InvalidParameter(`Unknown flag: ${name}`);
}

/** A Go duration (`1m30s`). @returns nanoseconds. */
function durationOf(name: string, text: string): number {
  const duration = parseDuration(text);
  if (typeof duration !== "bigint")
    throw new InvalidParameter(`time: invalid duration ${JSON.stringify(text)}`);
  if (duration !== 0n && duration < 1_000_000n)
    throw new InvalidParameter(`Interval ${JSON.stringify(name)} cannot be less than 1ms`);
  return Number(duration);
}

function setOf(keys: readonly string[]): Record<string, Record<string, never>> {
  return Object.fromEntries(keys.map((key) => [key, {}]));
}
