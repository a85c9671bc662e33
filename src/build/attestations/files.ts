/**
 * Statements about files, which stand beside them where a build's output is no image: BuildKit's exporter/local/fs.go.
 * Their subjects are all regular files of the result, by their names and digests.
 */
import { InvalidParameter } from "../../core/errors.ts";
import { basename } from "../../core/paths.ts";
import { nodeType, readAt } from "../../linux/nodes.ts";
import { closeFile, openAt, openFlag } from "../../linux/paths.ts";
import { type WalkedNode, walkTree } from "../../linux/walk.ts";
import { type Predicate, sbomFile } from "./request.ts";
import { type Subject, statement } from "./statement.ts";

export interface StatementFile {
  /** One component. */
  readonly name: string;
  readonly content: Uint8Array;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
}

export interface StatementNaming {
  /** Before each name. */
  readonly prefix: string;
  /** Before each name's extension, behind a dot; empty for none. */
  readonly platform: string;
  /** What the files' times become; nanoseconds since 1970. */
  readonly mtime: bigint;
}

/**
 * @param root where the result's files are mounted
 * @throws InvalidParameter for names that are none, or that two statements have
 */
export async function statementFiles(
  root: string,
  predicates: readonly Predicate[],
  naming: StatementNaming,
  signal: AbortSignal,
): Promise<StatementFile[]> {
  const names = namesOf(predicates, naming);
  if (names.length === 0) return [];
  const subjects = await subjectsIn(root, signal);
  return predicates.map((predicate, at) => ({
    name: names[at] ?? "",
    content: Buffer.from(JSON.stringify(statement(predicate, subjects), undefined, 2)),
    mtime: naming.mtime,
  }));
}

function namesOf(predicates: readonly Predicate[], { prefix, platform }: StatementNaming): string[] {
  const names = new Set<string>();
  for (const { file = sbomFile } of predicates) {
    const name = withPlatform(prefix + basename(file), platform);
    if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) {
      throw new InvalidParameter(`invalid attestation path name ${JSON.stringify(name)}`);
    }
    if (names.has(name)) throw new InvalidParameter(`duplicate attestation path name ${name}`);
    names.add(name);
  }
  return [...names];
}

/** `provenance.linux_arm64.json` */
function withPlatform(name: string, platform: string): string {
  if (platform === "") return name;
  const dot = name.lastIndexOf(".");
  const stem = dot < 0 ? name : name.slice(0, dot);
  return `${stem}.${platform}${name.slice(stem.length)}`;
}

async function subjectsIn(root: string, signal: AbortSignal): Promise<Subject[]> {
  const subjects: Subject[] = [];
  for (const node of walkTree(root)) {
    if ((node.status.mode & nodeType.mask) !== nodeType.file) continue;
    subjects.push({ name: node.path, digest: { sha256: sha256Of(node) } });
    await Bun.sleep(0);
    signal.throwIfAborted();
  }
  return subjects;
}

const readFlags = openFlag.readOnly | openFlag.noFollow | openFlag.nonBlocking;
const buffer = new Uint8Array(1 << 18);

function sha256Of({ directory, name }: WalkedNode): string {
  const fd = openAt(directory, name, readFlags);
  try {
    const hasher = new Bun.CryptoHasher("sha256");
    for (let offset = 0; ; ) {
      const got = readAt(fd, buffer, offset, name);
      if (got === 0) return hasher.digest("hex");
      hasher.update(buffer.subarray(0, got));
      offset += got;
    }
  } finally {
    closeFile(fd);
  }
}
