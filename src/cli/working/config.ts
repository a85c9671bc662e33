import { messageOf } from "../../core/errors.ts";
import { type ConfigChange, workingContainersOf } from "../../engine/working.ts";
import type { Command } from "../command.ts";
import type { FlagSet, Option } from "../flags/flag-set.ts";
import { parseDuration } from "../flags/values.ts";
import type { Io } from "../io.ts";
import { asBuildah, failure, oneContainer, readingContainer, warn } from "./failures.ts";
import { historyFlag } from "./flags.ts";

export const config: Command = {
  synopsis: "[OPTIONS] CONTAINER",
  summary: "Update image configuration settings",
  description: "Modify the configuration values which will be saved to the image",
  count: { least: 0 },
  examples: [
    'config --cmd \'["httpd", "-f"]\' --port 80 --env MODE=live site-working-container',
    "config --env MODE- --label - site-working-container",
  ],
  define(flags) {
    const history = historyFlag(flags);
    const options = declare(flags);
    return asBuildah(async (invocation) => {
      const { io, args } = invocation;
      const name = oneContainer(args);
      const change = { ...read(io, options), addHistory: history(invocation) };
      const working = workingContainersOf(await invocation.engine());
      const warnings = await readingContainer(name, () => working.configure(name, change));
      for (const warning of warnings) await warn(io, warning);
      return 0;
    });
  },
};

function declare(flags: FlagSet) {
  const health = (what: string, kind: string, usage: string) =>
    flags.string(`healthcheck${what}`, usage, { kind });
  return {
    annotation: flags.list("annotation", "Add annotation (annotation=value) for the target image", {
      short: "a",
    }),
    arch: flags.string("arch", "Set architecture of the target image"),
    author: flags.string("author", "Set image author contact information"),
    cmd: flags.string("cmd", "Set the default command to run for containers based on the image"),
    comment: flags.string("comment", "Set a comment in the target image"),
    createdBy: flags.string("created-by", "Set description of how the image was created"),
    domainname: flags.string("domainname", "Set a domain name for containers based on image"),
    entrypoint: flags.string("entrypoint", "Set entry point for containers based on image"),
    env: flags.list("env", "Add environment variable to be set when running containers based on image", {
      short: "e",
    }),
    healthcheck: health("", "command", "Set a healthcheck command for the target image"),
    interval: health("-interval", "interval", "Set the interval between runs of the healthcheck command"),
    retries: health("-retries", "number", "Set the number of times the healthcheck command has to fail"),
    startPeriod: health("-start-period", "time", "Set the time before a failed healthcheck command counts"),
    timeout: health("-timeout", "time", "Set the maximum time to wait for a healthcheck command"),
    historyComment: flags.string("history-comment", "Set a comment for the history of the target image"),
    hostname: flags.string("hostname", "Set a hostname for containers based on image"),
    label: flags.list("label", "Add image configuration label (label=value)", { short: "l" }),
    onbuild: flags.list("onbuild", "Add onbuild command; only for images in docker format"),
    os: flags.string("os", "Set operating system of the target image"),
    osFeature: flags.list("os-feature", "Set required OS feature for the target image"),
    osVersion: flags.string("os-version", "Set required OS version for the target image"),
    port: flags.list("port", "Add port to expose when running containers based on image", { short: "p" }),
    shell: flags.string("shell", "Add shell to run in containers"),
    stopSignal: flags.string("stop-signal", "Set stop signal for containers based on image"),
    user: flags.string("user", "Set default user to run inside containers based on image", { short: "u" }),
    variant: flags.string("variant", "Set architecture variant of the target image"),
    volume: flags.list("volume", "Add default volume path to be created for containers based on image", {
      short: "v",
    }),
    workingdir: flags.string("workingdir", "Set working directory for containers based on image"),
  };
}

type Options = ReturnType<typeof declare>;

type Draft = { -readonly [Key in keyof ConfigChange]: ConfigChange[Key] };

/** A field for each flag that was given, also with nothing as its value. */
function read(io: Io, options: Options): ConfigChange {
  const change: Draft = {};
  const take = <Key extends keyof Draft>(key: Key, option: Option<NonNullable<Draft[Key]>>) => {
    if (option.changed) change[key] = option.value;
  };
  take("author", options.author);
  take("architecture", options.arch);
  take("os", options.os);
  take("osVersion", options.osVersion);
  take("variant", options.variant);
  take("user", options.user);
  take("stopSignal", options.stopSignal);
  take("workingDirectory", options.workingdir);
  take("comment", options.comment);
  take("hostname", options.hostname);
  take("domainname", options.domainname);
  take("createdBy", options.createdBy);
  take("historyComment", options.historyComment);
  take("command", options.cmd);
  take("entrypoint", options.entrypoint);
  take("shell", options.shell);
  take("labels", options.label);
  take("annotations", options.annotation);
  take("ports", options.port);
  take("volumes", options.volume);
  take("osFeatures", options.osFeature);
  take("onBuild", options.onbuild);
  take("healthcheck", options.healthcheck);
  if (options.env.changed) change.environment = options.env.value.map((text) => variable(io, text));
  if (options.interval.changed) change.healthInterval = duration("interval", options.interval.value);
  if (options.timeout.changed) change.healthTimeout = duration("timeout", options.timeout.value);
  if (options.startPeriod.changed) {
    change.healthStartPeriod = duration("start-period", options.startPeriod.value);
  }
  if (options.retries.changed) change.healthRetries = retries(options.retries.value);
  return change;
}

/** A name alone takes the value that it has here. @throws CommandError when it has none */
function variable({ env }: Io, text: string): string {
  if (text.includes("=") || text.endsWith("-")) return text;
  const value = env[text];
  if (value === undefined) throw failure(`setting env ${JSON.stringify(text)}: no value given`);
  return `${text}=${value}`;
}

function duration(flag: string, text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw failure(`parsing --healthcheck-${flag} ${JSON.stringify(text)}: ${messageOf(error)}`);
  }
}

function retries(text: string): number {
  if (/^-?\d{1,9}$/.test(text)) return Number(text);
  throw failure(`parsing --healthcheck-retries ${JSON.stringify(text)}: invalid syntax`);
}
