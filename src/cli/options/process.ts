/** Flags of `run` and `create` about the process: what runs, as whom, with which streams and health check. */
import type { ContainerConfig, HealthConfig } from "../../core/objects.ts";
import type { FlagSet } from "../flags/flag-set.ts";
import { BadValue } from "../flags/values.ts";
import type { Io } from "../io.ts";
import { checkEnvironment, checkLabel, environment, labels } from "./key-values.ts";

const streams = ["stdin", "stdout", "stderr"];

/** Declares the flags; the result reads them. */
export function processFlags(flags: FlagSet) {
  const attach = flags.list("attach", "Attach to STDIN, STDOUT or STDERR", {
    short: "a",
    parse: (text) => {
      const stream = text.toLowerCase();
      if (!streams.includes(stream)) throw new BadValue("valid streams are STDIN, STDOUT and STDERR");
      return stream;
    },
  });
  const domainname = flags.string("domainname", "Container NIS domain name");
  const entrypoint = flags.string("entrypoint", "Overwrite the default ENTRYPOINT of the image");
  const env = flags.list("env", "Set environment variables", { short: "e", parse: checkEnvironment });
  const envFile = flags.list("env-file", "Read in a file of environment variables");
  const hostname = flags.string("hostname", "Container host name", { short: "h" });
  const interactive = flags.bool("interactive", "Keep STDIN open even if not attached", { short: "i" });
  const label = flags.list("label", "Set meta data on a container", { short: "l", parse: checkLabel });
  const labelFile = flags.list("label-file", "Read in a line delimited file of labels");
  const stopSignal = flags.string("stop-signal", "Signal to stop the container");
  const stopTimeout = flags.int("stop-timeout", "Timeout (in seconds) to stop a container");
  const tty = flags.bool("tty", "Allocate a pseudo-TTY", { short: "t" });
  const user = flags.string("user", "Username or UID (format: <name|uid>[:<group|gid>])", { short: "u" });
  const workdir = flags.string("workdir", "Working directory inside the container", { short: "w" });
  const health = healthFlags(flags);

  return {
    attach,
    /** @throws BadValue */
    config(image: string, command: readonly string[], io: Io): ContainerConfig {
      const everything = !attach.changed;
      const attachStdin = interactive.value || attach.value.includes("stdin");
      const healthcheck = health();
      return {
        Hostname: hostname.value,
        Domainname: domainname.value,
        User: user.value,
        AttachStdin: attachStdin,
        AttachStdout: everything || attach.value.includes("stdout"),
        AttachStderr: everything || attach.value.includes("stderr"),
        Tty: tty.value,
        OpenStdin: interactive.value,
        // The container's stdin ends with the client's.
        StdinOnce: interactive.value && attachStdin,
        Env: environment(io, envFile.value, env.value),
        Cmd: command.length === 0 ? null : [...command],
        Image: image,
        WorkingDir: workdir.value,
        Entrypoint: entrypoint.changed ? [entrypoint.value] : null,
        Labels: labels(io, labelFile.value, label.value),
        ...(healthcheck === undefined ? {} : { Healthcheck: healthcheck }),
        ...(stopSignal.changed ? { StopSignal: stopSignal.value } : {}),
        ...(stopTimeout.changed ? { StopTimeout: stopTimeout.value } : {}),
      };
    },
  };
}

function healthFlags(flags: FlagSet): () => HealthConfig | undefined {
  const command = flags.string("health-cmd", "Command to run to check health");
  const interval = flags.duration("health-interval", "Time between running the check (ms|s|m|h)");
  const retries = flags.int("health-retries", "Consecutive failures needed to report unhealthy");
  const startInterval = flags.duration(
    "health-start-interval",
    "Time between running the check during the start period (ms|s|m|h)",
  );
  const startPeriod = flags.duration(
    "health-start-period",
    "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)",
  );
  const timeout = flags.duration("health-timeout", "Maximum time to allow one check to run (ms|s|m|h)");
  const none = flags.bool("no-healthcheck", "Disable any container-specified HEALTHCHECK");
  const numbers = [
    { name: "interval", option: interval },
    { name: "timeout", option: timeout },
    { name: "retries", option: retries },
    { name: "start-period", option: startPeriod },
    { name: "start-interval", option: startInterval },
  ];
  return () => {
    const isSet = command.value !== "" || numbers.some(({ option }) => option.value !== 0);
    if (none.value) {
      if (isSet) throw new BadValue("--no-healthcheck conflicts with --health-* options");
      return { Test: ["NONE"] };
    }
    if (!isSet) return undefined;
    const negative = numbers.find(({ option }) => option.value < 0);
    if (negative !== undefined) throw new BadValue(`--health-${negative.name} cannot be negative`);
    return {
      ...(command.value === "" ? {} : { Test: ["CMD-SHELL", command.value] }),
      Interval: interval.value,
      Timeout: timeout.value,
      StartPeriod: startPeriod.value,
      StartInterval: startInterval.value,
      Retries: retries.value,
    };
  };
}
