/**
 * What a container is asked to be: the request laid over its image's config, and checked.
 * Rules and words are those of Docker's `daemon/commit.go` (merge) and `daemon/container.go` (verify).
 */

import { InvalidParameter } from "../../core/errors.ts";
import type {
  ContainerConfig,
  ContainerCreateRequest,
  HostConfig,
  RestartPolicy,
} from "../../core/objects.ts";
import { isAbsolute, normalize } from "../../core/paths.ts";

/** Lays the request over the image's config; the request wins. */
export function mergeConfig(request: ContainerCreateRequest, image: ContainerConfig): ContainerConfig {
  const { HostConfig: _host, NetworkingConfig: _networking, ...own } = request;
  const command = mergeCommand(own, image);
  return {
    ...own,
    ...command,
    User: own.User || image.User || "",
    Env: mergeEnvironment(own.Env ?? [], image.Env ?? []),
    WorkingDir: own.WorkingDir || image.WorkingDir || "",
    Labels: { ...image.Labels, ...own.Labels },
    ExposedPorts: { ...image.ExposedPorts, ...own.ExposedPorts },
    Volumes: { ...image.Volumes, ...own.Volumes },
    ...(own.StopSignal || image.StopSignal ? { StopSignal: own.StopSignal || image.StopSignal || "" } : {}),
    ...mergeHealthcheck(own, image),
  };
}

function mergeCommand(
  own: ContainerConfig,
  image: ContainerConfig,
): Pick<ContainerConfig, "Cmd" | "Entrypoint"> {
  // `--entrypoint ""` arrives as [""] and means: none, not even the image's.
  if (own.Entrypoint?.length === 1 && own.Entrypoint[0] === "")
    return { Entrypoint: null, Cmd: own.Cmd ?? null };
  if (own.Entrypoint && own.Entrypoint.length > 0)
    return { Entrypoint: own.Entrypoint, Cmd: own.Cmd ?? null };
  return {
    Entrypoint: image.Entrypoint ?? null,
    Cmd: own.Cmd && own.Cmd.length > 0 ? own.Cmd : (image.Cmd ?? null),
  };
}

/** The request's variables first, then the image's that it does not name. */
function mergeEnvironment(own: readonly string[], image: readonly string[]): string[] {
  const named = new Set(own.map(variableName));
  // `-e NAME` with no value and no such variable at the caller unsets the image's variable.
  return [
    ...own.filter((entry) => entry.includes("=")),
    ...image.filter((entry) => !named.has(variableName(entry))),
  ];
}

function variableName(entry: string): string {
  const equals = entry.indexOf("=");
  return equals === -1 ? entry : entry.slice(0, equals);
}

function mergeHealthcheck(
  own: ContainerConfig,
  image: ContainerConfig,
): Pick<ContainerConfig, "Healthcheck"> {
  if (own.Healthcheck === undefined && image.Healthcheck === undefined) return {};
  const asked = own.Healthcheck ?? {};
  return {
    Healthcheck: {
      ...image.Healthcheck,
      ...asked,
      Test: asked.Test?.length ? asked.Test : (image.Healthcheck?.Test ?? []),
    },
  };
}

/** The program and its arguments. @throws InvalidParameter when there is none. */
export function commandLine(config: ContainerConfig): { path: string; args: string[] } {
  const words = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  const [path, ...args] = words;
  if (path === undefined) throw new InvalidParameter("no command specified");
  return { path, args };
}

/** @throws InvalidParameter in Docker's words for what cannot be. */
export function verifyConfig(config: ContainerConfig, host: HostConfig): void {
  if (config.WorkingDir && !isAbsolute(config.WorkingDir)) {
    throw new InvalidParameter(
      `the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`,
    );
  }
  for (const entry of config.Env ?? []) {
    if (entry === "" || entry.startsWith("="))
      throw new InvalidParameter(`invalid environment variable: ${entry}`);
  }
  for (const port of Object.keys(config.ExposedPorts ?? {})) verifyPort(port);
  verifyRestartPolicy(host.RestartPolicy ?? {}, host.AutoRemove === true);
  verifyHealthcheck(config);
  verifyRanges(host);
  if (config.StopSignal) signalNumber(config.StopSignal);
  if (config.Hostname && config.Hostname.length > 63) {
    throw new InvalidParameter(`invalid hostname: ${config.Hostname}: at most 63 bytes`);
  }
}

function verifyRanges(host: HostConfig): void {
  const score = host.OomScoreAdj ?? 0;
  if (score < -1000 || score > 1000) {
    throw new InvalidParameter(`Invalid value ${score}, range for oom score adj is [-1000, 1000]`);
  }
  if ((host.ShmSize ?? 0) < 0) throw new InvalidParameter("SHM size can not be less than 0");
}

function verifyPort(port: string): void {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(port);
  const numbers = [match?.[1], match?.[2] ?? match?.[1]].map(Number);
  if (match === null || numbers.some((number) => number > 65535)) {
    throw new InvalidParameter(`invalid port: ${JSON.stringify(port)}`);
  }
}

function verifyRestartPolicy(policy: RestartPolicy, autoRemove: boolean): void {
  const name = policy.Name ?? "";
  const retries = policy.MaximumRetryCount ?? 0;
  if (!["", "no", "always", "unless-stopped", "on-failure"].includes(name)) {
    throw new InvalidParameter(
      `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  }
  if (retries !== 0 && name !== "on-failure") {
    throw new InvalidParameter(
      "invalid restart policy: maximum retry count can only be used with 'on-failure'",
    );
  }
  if (retries < 0) {
    throw new InvalidParameter("invalid restart policy: maximum retry count cannot be negative");
  }
  if (autoRemove && name !== "" && name !== "no") {
    throw new InvalidParameter("can't create 'AutoRemove' container with restart policy");
  }
}

function verifyHealthcheck(config: ContainerConfig): void {
  const check = config.Healthcheck;
  if (check === undefined) return;
  for (const [field, value] of Object.entries({
    Interval: check.Interval,
    Timeout: check.Timeout,
    StartPeriod: check.StartPeriod,
    StartInterval: check.StartInterval,
  })) {
    if (value !== undefined && value !== 0 && value < 1_000_000) {
      throw new InvalidParameter(`${field} in Healthcheck cannot be less than 1ms`);
    }
  }
  if ((check.Retries ?? 0) < 0) throw new InvalidParameter("Retries in Healthcheck cannot be negative");
}

/** Linux signals by name, without SIG. signal(7), x86 and ARM numbering. */
const signals: Record<string, number> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  IOT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  POLL: 29,
  PWR: 30,
  SYS: 31,
};

const realtimeFirst = 34;
const realtimeLast = 64;

/** `TERM`, `SIGTERM`, `15`, `RTMIN+3` → 15. @throws InvalidParameter for what is no signal. */
export function signalNumber(signal: string): number {
  const invalid = new InvalidParameter(`invalid signal: ${signal}`);
  if (/^\d+$/.test(signal)) {
    const number = Number(signal);
    if (number < 1 || number > realtimeLast) throw invalid;
    return number;
  }
  const name = signal.toUpperCase().replace(/^SIG/, "");
  const realtime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (realtime) {
    const offset = Number(`${realtime[2] ?? "+"}${realtime[3] ?? "0"}`);
    const number = (realtime[1] === "MIN" ? realtimeFirst : realtimeLast) + offset;
    if (number < realtimeFirst || number > realtimeLast) throw invalid;
    return number;
  }
  const number = signals[name];
  if (number === undefined) throw invalid;
  return number;
}

/** An absolute, clean path; the root when none was asked for. */
export function cleanWorkingDirectory(path: string | undefined): string {
  return path ? normalize(path).replace(/(.)\/$/, "$1") : "/";
}
