/** COPY and ADD: what is copied from where to where. */

import { hasWildcards } from "../../context/wildcard.ts";
import { rules } from "../checks/rules.ts";
import { LineFault } from "../errors.ts";
import type { AddInstruction, CopyInstruction } from "../instructions.ts";
import { baseName, cleanPath, joinPath, quote } from "../text.ts";
import { type Evaluation, expandFile, stepCommon, titleOf } from "./evaluate.ts";
import { type GitReference, parseGitReference } from "./git-source.ts";
import type { FileSource, FilesFrom, FilesStep } from "./model.ts";
import { checkMode } from "./modes.ts";

export function evaluateCopy(instruction: CopyInstruction, evaluation: Evaluation): FilesStep {
  const { chown, chmod, sources, destination } = expandCommon(instruction, evaluation);
  const files = inlineFiles(instruction, evaluation);
  const from = copiedFrom(instruction, evaluation);
  checkOwner(chown, instruction.link);
  if (chmod !== "") checkMode(chmod);
  const paths = sources.map((source): FileSource => {
    if (parseGitReference(source) !== undefined) throw new LineFault("source can't be a git ref for COPY");
    if (isUrl(source)) throw new LineFault("source can't be a URL for COPY");
    if (from.kind === "main-context") checkIgnored(source, "Copy", evaluation);
    return pathSource(source, { parents: instruction.parents, unpack: false });
  });
  return filesStep(instruction, evaluation, {
    from,
    sources: [...paths, ...files],
    written: [...sources, ...files.map(({ name }) => `<<${name}`), destination],
    destination,
    chown,
    chmod,
    parents: instruction.parents,
  });
}

function copiedFrom({ from }: CopyInstruction, evaluation: Evaluation): FilesFrom {
  if (from === "") return { kind: "main-context" };
  const found = evaluation.from(0);
  if (found !== undefined) return found;
  const stage = quote(evaluation.stageName);
  throw new LineFault(
    `cannot copy from stage ${quote(from)}, it needs to be defined before current stage ${stage}`,
  );
}

export function evaluateAdd(instruction: AddInstruction, evaluation: Evaluation): FilesStep {
  const { chown, chmod, checksum, sources, destination } = expandCommon(instruction, evaluation);
  const files = inlineFiles(instruction, evaluation);
  checkOwner(chown, instruction.link);
  if (chmod !== "") checkMode(chmod);
  if (checksum !== "") checkChecksumUse(sources);
  let wanted = checksum;
  const paths = sources.map((source): FileSource => {
    const git = parseGitReference(source);
    if (git !== undefined) {
      const found = gitSource(git, instruction.keepGitDir, wanted);
      wanted = found.checksum;
      return { kind: "git", ...found };
    }
    if (isUrl(source)) return urlSource(source, wanted, instruction.unpack ?? false);
    checkIgnored(source, "Add", evaluation);
    return pathSource(source, { parents: false, unpack: instruction.unpack ?? true });
  });
  return filesStep(instruction, evaluation, {
    from: { kind: "main-context" },
    sources: [...paths, ...files],
    written: [...sources, ...files.map(({ name }) => `<<${name}`), destination],
    destination,
    chown,
    chmod,
    parents: false,
  });
}

/** In BuildKit's order, which shows in what is reported first. */
function expandCommon(instruction: AddInstruction | CopyInstruction, { word }: Evaluation) {
  const chown = word(instruction.chown);
  const chmod = word(instruction.chmod);
  const checksum = instruction.kind === "add" ? word(instruction.checksum) : "";
  const sources = instruction.sources.map(({ text }) => word(text));
  return { chown, chmod, checksum, sources, destination: word(instruction.destination.text) };
}

function inlineFiles(instruction: AddInstruction | CopyInstruction, evaluation: Evaluation) {
  return instruction.files.map(({ path, content, expand }) => ({
    kind: "inline" as const,
    name: path,
    content: expand ? expandFile(content, evaluation) : content,
  }));
}

interface Parts {
  readonly from: FilesFrom;
  readonly sources: readonly FileSource[];
  /** What history shows behind the flags. */
  readonly written: readonly string[];
  readonly destination: string;
  readonly chown: string;
  readonly chmod: string;
  readonly parents: boolean;
}

function filesStep(
  instruction: AddInstruction | CopyInstruction,
  evaluation: Evaluation,
  { from, sources, written, destination, chown, chmod, parents }: Parts,
): FilesStep {
  const { state, environment, escapeCharacter } = evaluation;
  const shown = [
    instruction.kind.toUpperCase(),
    ...(parents ? ["--parents"] : []),
    ...(chown === "" ? [] : [`--chown=${chown}`]),
    ...(chmod === "" ? [] : [`--chmod=${chmod}`]),
    ...written,
  ];
  const createdBy = `${shown.join(" ")} # buildkit`;
  state.record(createdBy, { layer: true });
  return {
    kind: "files",
    ...stepCommon(
      instruction,
      evaluation,
      titleOf(instruction.code, { escapeCharacter }, environment),
      createdBy,
    ),
    from,
    sources,
    destination: state.resolveDestination(destination),
    chown,
    chmod,
    link: instruction.link,
    parents,
    exclude: instruction.exclude,
  };
}

/** With `--parents`, `/./` in a source divides where it is taken from and what keeps its directories. */
function pathSource(source: string, options: { parents: boolean; unpack: boolean }): FileSource {
  const { unpack } = options;
  if (!options.parents) {
    return { kind: "path", path: absolute(source), pattern: undefined, required: undefined, unpack };
  }
  const pivot = source.indexOf("/./");
  const below = pivot < 0 ? source : source.slice(pivot + 3);
  const top = pivot < 0 ? "/" : source.slice(0, pivot);
  const isPlain = !hasWildcards(top) && !hasWildcards(absolute(below));
  return {
    kind: "path",
    path: absolute(top),
    pattern: absolute(below).replace(/^\//, ""),
    required: isPlain ? absolute(joinPath(top, absolute(below))) : undefined,
    unpack,
  };
}

function absolute(path: string): string {
  if (path === "") return "/";
  return path.startsWith("/") ? path : joinPath("/", path);
}

/** Names cannot be looked up where a layer stands alone. */
function checkOwner(chown: string, link: boolean): void {
  if (chown === "" || !link) return;
  const at = chown.indexOf(":");
  const [user, group] = at < 0 ? [chown, ""] : [chown.slice(0, at), chown.slice(at + 1)];
  const isNumber = (text: string) => text === "" || text === "root" || /^[-+]?[0-9]+$/.test(text);
  if (isNumber(user) && isNumber(group)) return;
  throw new LineFault(
    `--chown=${chown}: user and group names can't be resolved when used with --link, use numeric uid[:gid] instead`,
  );
}

function checkChecksumUse(sources: readonly string[]): void {
  const [source = ""] = sources;
  if (sources.length !== 1) throw new LineFault("checksum can't be specified for multiple sources");
  if (!/^https?:\/\//.test(source) && parseGitReference(source) === undefined) {
    throw new LineFault("checksum requires HTTP(S) or Git sources");
  }
}

function gitSource(git: GitReference, keepGitDir: boolean | undefined, checksum: string) {
  if (keepGitDir !== undefined && git.keepGitDirectory !== undefined && keepGitDir !== git.keepGitDirectory) {
    throw new LineFault("inconsistent keep-git-dir configuration");
  }
  if (checksum !== "" && git.checksum !== "" && checksum !== git.checksum) {
    throw new LineFault(`checksum mismatch ${quote(checksum)} != ${quote(git.checksum)}`);
  }
  return {
    remote: git.remote,
    ref: git.ref,
    subdirectory: git.subdirectory,
    checksum: git.checksum || checksum,
    keepGitDirectory: git.keepGitDirectory ?? keepGitDir ?? false,
    submodules: git.submodules ?? true,
    fetchByCommit: git.fetchByCommit,
  };
}

function isUrl(source: string): boolean {
  return /^https?:\/\//.test(source);
}

function urlSource(url: string, checksum: string, unpack: boolean): FileSource {
  if (checksum !== "") checkDigest(checksum);
  const path = URL.canParse(url) ? decodedPath(new URL(url).pathname) : "";
  const name = path === "" ? "." : baseName(path);
  const fileName = name === "." || name === "/" ? "__unnamed__" : name;
  return { kind: "url", url, fileName, checksum, unpack };
}

function decodedPath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    if (error instanceof URIError) return path;
    throw error;
  }
}

const digestLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

function checkDigest(text: string): void {
  const [, algorithm, hex = ""] = /^([a-z0-9]+(?:[.+_-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$/.exec(text) ?? [];
  if (algorithm === undefined) throw new LineFault("invalid checksum digest format");
  const length = digestLengths[algorithm];
  if (length === undefined) throw new LineFault("unsupported digest algorithm");
  if (hex.length !== length) throw new LineFault("invalid checksum digest length");
  if (!/^[a-f0-9]+$/.test(hex)) throw new LineFault("invalid checksum digest format");
}

/** Copying what the ignore file leaves out is a mistake, unless exceptions make that hard to say. */
function checkIgnored(source: string, verb: "Copy" | "Add", { ignore, linter, range }: Evaluation): void {
  if (ignore === undefined || ignore.patterns.length === 0 || ignore.hasExceptions) return;
  const path = cleanPath(source);
  if (path === "." || path === "/") {
    const ignoresAll = ignore.patterns.some(({ text }) => ["*", "**", "**/*"].includes(text));
    if (!ignoresAll) return;
  }
  if (!ignore.ignores(path)) return;
  const message = `Attempting to ${verb} file ${quote(path)} that is excluded by .dockerignore`;
  linter.report(rules.copyIgnoredFile, range, message);
}
