/** Instructions that change the image's config, and WORKDIR and ARG. */
import { formatDuration } from "../../../core/durations.ts";
import { rules } from "../checks/rules.ts";
import { LineFault } from "../errors.ts";
import { expand } from "../expansion/expand.ts";
import type * as written from "../instructions.ts";
import type { StageInstruction } from "../instructions.ts";
import { quote } from "../text.ts";
import { isBuilderArgument } from "./arguments.ts";
import { type Evaluation, expandReporting, quotedList, stepCommon, titleOf } from "./evaluate.ts";
import type { ConfigStep, DirectoryStep } from "./model.ts";
import { portsOf, readPort } from "./ports.ts";
import { checkSignal } from "./signals.ts";
import type { StageState } from "./state.ts";

function configStep(instruction: StageInstruction, evaluation: Evaluation, createdBy: string): ConfigStep {
  evaluation.state.record(createdBy, { layer: false });
  return { kind: "config", ...stepCommon(instruction, evaluation, createdBy, createdBy) };
}

export function evaluateEnv(instruction: written.EnvInstruction, evaluation: Evaluation): ConfigStep {
  const { state, linter, range } = evaluation;
  const pairs = expandPairs(instruction.variables, evaluation);
  for (const { key, value, legacy } of pairs) {
    if (legacy) reportLegacy(instruction, evaluation);
    if (isSecretName(key)) linter.report(rules.secretsUsedInArgOrEnv, range, secretMessage("ENV", key));
    state.setEnvironment(key, value);
  }
  return configStep(instruction, evaluation, listed("ENV", pairs));
}

export function evaluateLabel(instruction: written.LabelInstruction, evaluation: Evaluation): ConfigStep {
  const pairs = expandPairs(instruction.labels, evaluation);
  const labels = evaluation.state.config.Labels ?? {};
  evaluation.state.config.Labels = labels;
  for (const { key, value, legacy } of pairs) {
    if (legacy) reportLegacy(instruction, evaluation);
    put(labels, key, value);
  }
  return configStep(instruction, evaluation, listed("LABEL", pairs));
}

/** An assignment that works for the name `__proto__` too. */
function put<T>(record: Record<string, T>, name: string, value: T): void {
  Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true });
}

interface ExpandedPair {
  readonly key: string;
  readonly value: string;
  readonly legacy: boolean;
}

function expandPairs(pairs: readonly written.Pair[], { word }: Evaluation): ExpandedPair[] {
  return pairs.map(({ key, value, legacy }) => ({ key: word(key), value: word(value), legacy }));
}

function listed(keyword: string, pairs: readonly ExpandedPair[]): string {
  return [keyword, ...pairs.map(({ key, value }) => `${key}=${value}`)].join(" ");
}

function reportLegacy({ keyword }: StageInstruction, { linter, range }: Evaluation): void {
  const message = `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`;
  linter.report(rules.legacyKeyValueFormat, range, message);
}

const secretWord =
  /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i;
const harmlessWord = /(?:_|^)(?:public|file|version)(?:_|$)/i;

function isSecretName(name: string): boolean {
  return secretWord.test(name) && !harmlessWord.test(name);
}

function secretMessage(instruction: string, name: string): string {
  return `Do not use ARG or ENV instructions for sensitive data (${instruction} ${quote(name)})`;
}

/** A build argument comes before the default, and the default before what the file's global ARG says. */
export function evaluateArg(instruction: written.ArgInstruction, evaluation: Evaluation): ConfigStep {
  const { state, linter, range, given, globals, escapeCharacter } = evaluation;
  const shown: string[] = [];
  for (const { name, value: written } of instruction.definitions) {
    if (isSecretName(name)) linter.report(rules.secretsUsedInArgOrEnv, range, secretMessage("ARG", name));
    let value = given.get(name);
    if (value === undefined && written === undefined) value = globals.get(name);
    else if (value === undefined && written !== undefined) {
      // Each default may refer to the arguments before it in the same instruction.
      const environment = state.variables.view();
      value = expandReporting(evaluation, written, environment, { escapeCharacter });
    }
    if (value !== undefined && !isBuilderArgument(name)) state.variables.set(name, value);
    state.arguments.push({ name, value });
    shown.push(value === undefined ? name : `${name}=${value}`);
  }
  return configStep(instruction, evaluation, `ARG ${shown.join(" ")}`);
}

export function evaluateCommand(
  instruction: written.CmdInstruction | written.EntrypointInstruction,
  evaluation: Evaluation,
): ConfigStep {
  const { state, linter, range } = evaluation;
  reportRepeated(instruction, evaluation);
  const { command } = instruction;
  if (command.form === "shell" && !state.config.Shell?.length) {
    const message = `JSON arguments recommended for ${instruction.keyword} to prevent unintended behavior related to OS signals`;
    linter.report(rules.jsonArgsRecommended, range, message);
  }
  const words = command.form === "exec" ? [...command.arguments] : withShell(state, command.text);
  if (instruction.kind === "cmd") {
    state.config.Cmd = words;
    state.config.ArgsEscaped = true;
    return configStep(instruction, evaluation, `CMD ${quotedList(words)}`);
  }
  state.config.Entrypoint = words;
  // A base image's command belongs to its own entrypoint.
  if (!state.once.has("cmd")) state.config.Cmd = null;
  return configStep(instruction, evaluation, `ENTRYPOINT ${quotedList(words)}`);
}

/** The shell of the image, or the default, with a command for it. */
export function withShell({ config }: StageState, command: string): string[] {
  const shell = config.Shell?.length ? config.Shell : ["/bin/sh", "-c"];
  return [...shell, command];
}

/** Only the last of these counts; the finding is at the one that does not. */
function reportRepeated(instruction: StageInstruction, { state, linter, range }: Evaluation): void {
  const before = state.once.get(instruction.kind);
  if (before !== undefined) {
    const message = `Multiple ${instruction.keyword} instructions should not be used in the same stage because only the last one will be used`;
    linter.report(rules.multipleInstructionsDisallowed, before, message);
  }
  state.once.set(instruction.kind, range);
}

export function evaluateHealthcheck(
  instruction: written.HealthcheckInstruction,
  evaluation: Evaluation,
): ConfigStep {
  reportRepeated(instruction, evaluation);
  const { test, interval, timeout, startPeriod, startInterval, retries } = instruction;
  const numbers = {
    Interval: Number(interval),
    Timeout: Number(timeout),
    StartPeriod: Number(startPeriod),
    StartInterval: Number(startInterval),
    Retries: retries,
  };
  const given = Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== 0));
  evaluation.state.config.Healthcheck = { Test: [...test], ...given };
  const shown =
    `Test:[${test.join(" ")}] Interval:${formatDuration(interval)} Timeout:${formatDuration(timeout)} ` +
    `StartPeriod:${formatDuration(startPeriod)} StartInterval:${formatDuration(startInterval)} Retries:${retries}`;
  return configStep(instruction, evaluation, `HEALTHCHECK {${shown}}`);
}

/** Characters of a port in history and config. */
const portLength = 16;

export function evaluateExpose(instruction: written.ExposeInstruction, evaluation: Evaluation): ConfigStep {
  const { state, linter, range, environment, escapeCharacter } = evaluation;
  const words = instruction.ports.flatMap(
    (port) => expand(port, environment, { escapeCharacter, splitWords: true }).words,
  );
  const ports: string[] = [];
  for (const word of words) {
    const port = readPort(word);
    if (port.protocol !== port.protocol.toLowerCase()) {
      const message = `Defined protocol '${word}' in EXPOSE instruction should be lowercase`;
      linter.report(rules.exposeProtoCasing, range, message);
    }
    if (port.address !== "" || port.host !== "") {
      const message = `EXPOSE instruction should not define an IP address or host-port mapping, found '${word}'`;
      linter.report(rules.exposeInvalidFormat, range, message);
    }
    const exposed = portsOf(port);
    state.spend(exposed.length * portLength);
    for (const one of exposed) ports.push(one);
  }
  const exposed = state.config.ExposedPorts ?? {};
  for (const port of ports) put(exposed, port, {});
  state.config.ExposedPorts = exposed;
  return configStep(instruction, evaluation, `EXPOSE [${ports.join(" ")}]`);
}

export function evaluateVolume(instruction: written.VolumeInstruction, evaluation: Evaluation): ConfigStep {
  const paths = instruction.paths.map(evaluation.word);
  const volumes = evaluation.state.config.Volumes ?? {};
  evaluation.state.config.Volumes = volumes;
  for (const path of paths) {
    if (path === "") throw new LineFault("VOLUME specified can not be an empty string");
    put(volumes, path, {});
  }
  return configStep(instruction, evaluation, `VOLUME [${paths.join(" ")}]`);
}

export function evaluateUser(instruction: written.UserInstruction, evaluation: Evaluation): ConfigStep {
  const user = evaluation.word(instruction.user);
  evaluation.state.config.User = user;
  return configStep(instruction, evaluation, `USER ${user}`);
}

export function evaluateStopsignal(
  instruction: written.StopsignalInstruction,
  evaluation: Evaluation,
): ConfigStep {
  const signal = evaluation.word(instruction.signal);
  checkSignal(signal);
  evaluation.state.config.StopSignal = signal;
  return configStep(instruction, evaluation, `STOPSIGNAL ${signal}`);
}

export function evaluateShell(instruction: written.ShellInstruction, evaluation: Evaluation): ConfigStep {
  evaluation.state.config.Shell = [...instruction.shell];
  return configStep(instruction, evaluation, `SHELL [${instruction.shell.join(" ")}]`);
}

export function evaluateMaintainer(
  instruction: written.MaintainerInstruction,
  evaluation: Evaluation,
): ConfigStep {
  evaluation.state.author = instruction.maintainer;
  return configStep(instruction, evaluation, `MAINTAINER ${instruction.maintainer}`);
}

/** Leaves no line in the history. */
export function evaluateOnbuild(instruction: written.OnbuildInstruction, evaluation: Evaluation): ConfigStep {
  const { config } = evaluation.state;
  config.OnBuild = [...(config.OnBuild ?? []), instruction.trigger];
  return { kind: "config", ...stepCommon(instruction, evaluation, instruction.code, "") };
}

export function evaluateWorkdir(
  instruction: written.WorkdirInstruction,
  evaluation: Evaluation,
): DirectoryStep | ConfigStep {
  const { state, linter, range, escapeCharacter, environment } = evaluation;
  const written = evaluation.word(instruction.path);
  if (!state.isWorkdirSet && !written.startsWith("/")) {
    const message = `Relative workdir ${quote(written)} can have unexpected results if the base image changes`;
    linter.report(rules.workdirRelativePath, range, message);
  }
  state.isWorkdirSet = true;
  const path = state.resolve(written);
  state.config.WorkingDir = path;
  const createdBy = `WORKDIR ${path}`;
  if (path === "/") return configStep(instruction, evaluation, createdBy);
  state.record(createdBy, { layer: true });
  const title = titleOf(instruction.code, { escapeCharacter }, environment);
  return {
    kind: "directory",
    ...stepCommon(instruction, evaluation, title, createdBy),
    path,
    user: state.user,
  };
}
