/** Which files a step took, in a form that is small enough to be kept, and which of them are others now. */
import type { ScannedNode } from "../context/scan.ts";
import type { FoundSource } from "../steps/sources.ts";

/**
 * Lines `<content><rest> <path>`: a digest of the content, and one of what else counts (mode, owner, attributes). One
 * text, as there may be many files, and mostly nobody asks.
 */
export type FileFacts = string;

const contentLength = 10;
const restLength = 6;
const factLength = contentLength + restLength;
/** More files than this are kept as directories. */
const mostFiles = 100_000;

export function factsOfFiles(sources: readonly FoundSource[]): FileFacts {
  const lines: string[] = [];
  const rests = new Map<string, string>();
  for (const source of sources) {
    if (source.kind === "inline") {
      lines.push(lineOf(digestOf(source.content), "0".repeat(restLength), source.name));
      continue;
    }
    const { base, nodes, tree } = source.scan;
    const prefix = base === "" ? "" : `${base}/`;
    for (const node of nodes) {
      const path = node.path === "" ? base || "/" : prefix + node.path;
      lines.push(lineOf(contentOf(node), restOf(node, tree.belongsToRoot, rests), path));
    }
  }
  return (lines.length <= mostFiles ? lines : linesOfDirectories(lines)).join("\n");
}

function lineOf(content: string, rest: string, path: string): string {
  return `${content.slice(0, contentLength)}${rest} ${path.includes("\n") ? path.replaceAll("\n", "\ufffd") : path}`;
}

function contentOf({ status, link, digest }: ScannedNode): string {
  return digest ?? digestOf(`${link ?? ""} ${status.deviceMajor}:${status.deviceMinor}`);
}

/** @param known few files have a mode and an owner that no other has */
function restOf({ status, xattrs }: ScannedNode, belongsToRoot: boolean, known: Map<string, string>): string {
  let text = String(status.mode);
  if (!belongsToRoot) text += ` ${status.uid}:${status.gid}`;
  for (const [name, value] of xattrs) text += ` ${name}=${Buffer.from(value).toString("base64")}`;
  const before = known.get(text);
  if (before !== undefined) return before;
  const rest = digestOf(text).slice(0, restLength);
  known.set(text, rest);
  return rest;
}

/** One line for all that is below each directory of the uppermost two levels. */
function linesOfDirectories(lines: readonly string[]): string[] {
  const hashers = new Map<string, Bun.CryptoHasher>();
  for (const line of lines) {
    const directory = line
      .slice(factLength + 1)
      .split("/")
      .slice(0, 2)
      .join("/");
    const hasher = hashers.get(directory) ?? new Bun.CryptoHasher("sha256");
    hashers.set(directory, hasher.update(`${line}\n`));
  }
  return [...hashers].map(([directory, hasher]) =>
    lineOf(hasher.digest("hex"), "0".repeat(restLength), directory),
  );
}

function factsByPath(facts: FileFacts): Map<string, string> {
  const lines = facts === "" ? [] : facts.split("\n");
  return new Map(lines.map((line) => [line.slice(factLength + 1), line.slice(0, factLength)]));
}

const namedAtMost = 3;

/** `main.c has changed`, `lib/a.c is new`, `4 files have changed: a, b, c and 1 more`; undefined for no difference. */
export function differenceOfFiles(earlier: FileFacts, later: FileFacts): string | undefined {
  if (earlier === later) return undefined;
  const [before, now] = [factsByPath(earlier), factsByPath(later)];
  const changed: string[] = [];
  const touched: string[] = [];
  const added: string[] = [];
  for (const [path, fact] of now) {
    const known = before.get(path);
    if (known === undefined) added.push(path);
    else if (known.slice(0, contentLength) !== fact.slice(0, contentLength)) changed.push(path);
    else if (known !== fact) touched.push(path);
  }
  const removed = [...before.keys()].filter((path) => !now.has(path));
  const parts = [
    phrase(changed, "has changed", "files have changed"),
    phrase(added, "is new", "files are new"),
    phrase(removed, "is gone", "files are gone"),
    phrase(touched, "has another mode or owner", "files have other modes or owners"),
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join("; ");
}

function phrase(paths: readonly string[], one: string, many: string): string | undefined {
  const [first] = paths;
  if (first === undefined) return undefined;
  if (paths.length === 1) return `${first} ${one}`;
  const more = paths.length - namedAtMost;
  const named = paths.slice(0, namedAtMost).join(", ");
  return `${paths.length} ${many}: ${named}${more > 0 ? ` and ${more} more` : ""}`;
}

/** Only to be told from others by accident, so a quick one will do. */
function digestOf(text: string): string {
  return Bun.hash(text).toString(16).padStart(16, "0");
}
