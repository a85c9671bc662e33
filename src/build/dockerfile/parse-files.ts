/** ADD and COPY. */
import { LineFault } from "./errors.ts";
import { parseFlags } from "./flags.ts";
import { type Heredoc, heredocMarkOrNone, withoutLeadingTabs } from "./heredocs.ts";
import type { AddInstruction, CopyInstruction, InlineFile, Located } from "./instructions.ts";
import { commonOf, locate } from "./parse-common.ts";
import type { Statement } from "./statements.ts";

const sharedFlags = { chown: "string", chmod: "string", link: "boolean", exclude: "strings" } as const;
const addFlags = {
  ...sharedFlags,
  "keep-git-dir": "boolean",
  checksum: "string",
  unpack: "boolean",
} as const;
const copyFlags = { ...sharedFlags, from: "string", parents: "boolean" } as const;

export function parseAdd(statement: Statement): AddInstruction {
  requireDestination(statement, "ADD");
  const flags = parseFlags(statement.flags, addFlags);
  return {
    kind: "add",
    ...commonOf(statement),
    ...sourcesAndDestination(statement, "ADD"),
    chown: flags.string("chown"),
    chmod: flags.string("chmod"),
    link: flags.boolean("link") ?? false,
    exclude: flags.strings("exclude").map((word) => word.text),
    checksum: flags.string("checksum"),
    keepGitDir: flags.boolean("keep-git-dir"),
    unpack: flags.boolean("unpack"),
  };
}

export function parseCopy(statement: Statement): CopyInstruction {
  requireDestination(statement, "COPY");
  const flags = parseFlags(statement.flags, copyFlags);
  return {
    kind: "copy",
    ...commonOf(statement),
    ...sourcesAndDestination(statement, "COPY"),
    chown: flags.string("chown"),
    chmod: flags.string("chmod"),
    link: flags.boolean("link") ?? false,
    exclude: flags.strings("exclude").map((word) => word.text),
    from: flags.string("from"),
    parents: flags.boolean("parents") ?? false,
  };
}

function requireDestination({ args }: Statement, instruction: string): void {
  if (args.length >= 2) return;
  throw new LineFault(
    `${instruction} requires at least two arguments, but only one was provided. Destination could not be determined`,
  );
}

function sourcesAndDestination(
  statement: Statement,
  instruction: string,
): { sources: Located[]; files: InlineFile[]; destination: Located } {
  const words = [...statement.args];
  const destination = words.pop();
  if (destination === undefined || heredocMarkOrNone(destination.text) !== undefined) {
    throw new LineFault(`${instruction} cannot accept a heredoc as a destination`, destination?.span);
  }
  const heredocs = new Map<string, Heredoc>(statement.heredocs.map((heredoc) => [heredoc.name, heredoc]));
  const sources: Located[] = [];
  const files: InlineFile[] = [];
  for (const word of words) {
    const mark = heredocMarkOrNone(word.text);
    if (mark === undefined) {
      sources.push(locate(statement, word));
      continue;
    }
    const content = heredocs.get(mark.name)?.content ?? "";
    files.push({
      path: mark.name,
      content: mark.chomp ? withoutLeadingTabs(content) : content,
      expand: mark.expand,
    });
  }
  return { sources, files, destination: locate(statement, destination) };
}
