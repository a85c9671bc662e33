/** The flags `--healthcheck…` of `config`. */

import { formatDuration } from "../../core/durations.ts";
import type { ContainerConfig, HealthConfig } from "../../core/objects.ts";
import type { ConfigChange } from "../working.ts";
import { commandWords } from "./command-words.ts";

/** What Buildah writes where nothing is said. */
const usual = { Interval: 30_000_000_000, Timeout: 30_000_000_000, Retries: 3 };

export function changeHealthcheck(config: ContainerConfig, change: ConfigChange): ContainerConfig {
  if (change.healthcheck === "") {
    const { Healthcheck: _, ...rest } = config;
    return rest;
  }
  const numbers = numbersOf(change);
  if (change.healthcheck === undefined && Object.keys(numbers).length === 0) return config;
  const before = config.Healthcheck ?? { Test: ["NONE"], ...usual };
  const test = change.healthcheck === undefined ? {} : { Test: testOf(change.healthcheck) };
  return { ...config, Healthcheck: { ...before, ...test, ...numbers } };
}

function numbersOf(change: ConfigChange): HealthConfig {
  const { healthInterval, healthTimeout, healthStartPeriod, healthRetries } = change;
  return {
    ...(healthInterval === undefined ? {} : { Interval: healthInterval }),
    ...(healthTimeout === undefined ? {} : { Timeout: healthTimeout }),
    ...(healthStartPeriod === undefined ? {} : { StartPeriod: healthStartPeriod }),
    ...(healthRetries === undefined ? {} : { Retries: healthRetries }),
  };
}

/** `CMD words`, or `CMD-SHELL` with the rest of the line for the shell; without either, for the shell too. */
function testOf(text: string): string[] {
  const [, kind = "", rest = ""] = /^\s*(NONE|CMD-SHELL|CMD)(?:\s+([\s\S]*))?$/.exec(text) ?? [];
  if (kind === "NONE") return ["NONE"];
  if (kind === "CMD") return ["CMD", ...commandWords("cmd", rest)];
  return ["CMD-SHELL", kind === "" ? text : rest];
}

/** As a Dockerfile would have it; undefined where nothing is said. */
export function shownHealthcheck(change: ConfigChange): string | undefined {
  const { healthcheck, healthInterval, healthTimeout, healthStartPeriod, healthRetries } = change;
  if (healthcheck === undefined || healthcheck === "") return undefined;
  const duration = (flag: string, value: number | undefined) =>
    value === undefined ? [] : [`--${flag}=${formatDuration(BigInt(value))}`];
  return [
    ...duration("interval", healthInterval),
    ...duration("timeout", healthTimeout),
    ...duration("start-period", healthStartPeriod),
    ...(healthRetries === undefined ? [] : [`--retries=${healthRetries}`]),
    healthcheck,
  ].join(" ");
}
