/** RUN: its command as it will be run, and its mounts. */
import { LineFault } from "../errors.ts";
import type { Variables } from "../expansion/variables.ts";
import { heredocMarkOrNone, withoutLeadingTabs } from "../heredocs.ts";
import type { CommandLine, RunInstruction } from "../instructions.ts";
import { parseMount, type RunMount } from "../mounts.ts";
import { baseName, cleanPath, joinPath, quote, trimSpace } from "../text.ts";
import type { Environment } from "./environment.ts";
import { type Evaluation, stepCommon, titleOf } from "./evaluate.ts";
import { withShell } from "./evaluate-config.ts";
import type { FilesFrom, RunStep, StepMount } from "./model.ts";
import type { DeclaredArgument } from "./state.ts";

/** Where a heredoc with `#!` appears in the container. */
const scriptDirectory = "/dev/pipes/";

export function evaluateRun(instruction: RunInstruction, evaluation: Evaluation): RunStep {
  const { state, environment, escapeCharacter } = evaluation;
  const mounts = instruction.mounts.map(({ text }) => parseMount(text, evaluation.word));
  const { words, script, summary } = command(instruction.command);
  const { form } = instruction.command;
  const all = form === "shell" ? withShell(state, words.join(" ")) : words;
  const located = mounts.map((mount, position) => locateMount(mount, position, evaluation));
  const createdBy = `RUN ${runLine(all, state.arguments, environment)} # buildkit`;
  state.record(createdBy, { layer: true });
  const visible = withMaskedSecrets(environment, mounts);
  const title = titleOf(
    instruction.code + summary,
    { escapeCharacter, keepQuotes: true, keepEscapes: true, keepUnset: true },
    visible,
  );
  return {
    kind: "run",
    ...stepCommon(instruction, evaluation, title, createdBy),
    arguments: all,
    script,
    mounts: located,
    network: instruction.network,
    security: instruction.security,
    devices: instruction.devices,
    workingDirectory: state.workingDirectory,
    user: state.user,
  };
}

interface Command {
  readonly words: readonly string[];
  readonly script: RunStep["script"];
  /** What the title says of a heredoc. */
  readonly summary: string;
}

/** A heredoc alone is the script itself; one with `#!` a program; others are for the shell to read. */
function command(line: CommandLine): Command {
  if (line.form === "exec") return { words: line.arguments, script: undefined, summary: "" };
  const [first] = line.heredocs;
  if (first === undefined) return { words: [line.text], script: undefined, summary: "" };
  if (heredocMarkOrNone(line.text) === undefined) {
    const files = line.heredocs.map(({ content, name }) => `\n${content}${name}`);
    return { words: [line.text + files.join("")], script: undefined, summary: "" };
  }
  const content = first.chomp ? withoutLeadingTabs(first.content) : first.content;
  const summary = ` (${summarize(first.content)})`;
  if (!content.startsWith("#!")) return { words: [content], script: undefined, summary };
  const path = joinPath(scriptDirectory, first.name);
  return { words: [path], script: { path, content }, summary };
}

function summarize(content: string): string {
  const [first = "", ...others] = trimSpace(content).split(/\r?\n/);
  return others.length > 0 ? `${first}...` : first;
}

/** The arguments that ARG has declared, as `|2 A=1 B=2`, and the command. */
function runLine(
  words: readonly string[],
  declared: readonly DeclaredArgument[],
  environment: Environment,
): string {
  const values = new Map<string, string>();
  for (const { name, value } of declared) values.set(name, environment.get(name) ?? value ?? "");
  const shown = [...values].map(([name, value]) => `${name}=${value}`);
  const before = shown.length > 0 ? [`|${shown.length}`, ...shown] : [];
  return [...before, ...words].join(" ");
}

/** A secret's value is never shown; that a variable holds one is. */
function withMaskedSecrets(environment: Environment, mounts: readonly RunMount[]): Variables {
  const secret = new Set(
    mounts.flatMap(({ type, env }) => (type === "secret" && env !== undefined ? [env] : [])),
  );
  return {
    get: (name) => (secret.has(name) ? "****" : environment.get(name)),
    names: () => environment.names(),
  };
}

function locateMount(mount: RunMount, position: number, evaluation: Evaluation): StepMount {
  const { type } = mount;
  if (type === "secret") return secretMount(mount);
  if (type === "ssh") {
    if (mount.source !== "") throw new LineFault("ssh does not support source");
    const path = mount.target === "" ? undefined : mount.target;
    return { ...mount, path, id: mount.id || "default", files: { kind: "scratch" } };
  }
  const files = mountedFiles(mount, position, evaluation);
  const path = cleanPath(mount.target).startsWith("/")
    ? mount.target
    : joinPath("/", evaluation.state.workingDirectory, mount.target);
  if (path === "/") throw new LineFault(`invalid mount target ${quote(path)}`);
  const id = type === "cache" ? mount.id || cleanPath(mount.target) : mount.id;
  return { ...mount, path, id, source: joinPath("/", mount.source), files };
}

/** The context, for a bind mount without `from`; nothing at first, for a cache without one, and for tmpfs. */
function mountedFiles(mount: RunMount, position: number, evaluation: Evaluation): FilesFrom {
  if (mount.from === "") return { kind: mount.type === "bind" ? "main-context" : "scratch" };
  const found = evaluation.from(position);
  if (found === undefined) {
    throw new LineFault(
      `cannot mount from stage ${quote(mount.from)} to ${quote(mount.target)}, stage needs to be defined before current command`,
    );
  }
  return mount.type === "tmpfs" ? { kind: "scratch" } : found;
}

function secretMount(mount: RunMount): StepMount {
  const id = mount.source || mount.id || baseName(mount.target);
  const isFile = mount.env === undefined || mount.target !== "";
  const path = isFile ? mount.target || `/run/secrets/${baseName(id)}` : undefined;
  return { ...mount, id, path, files: { kind: "scratch" } };
}
