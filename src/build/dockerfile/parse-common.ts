/** What the parsers of single instructions share. */
import { LineFault } from "./errors.ts";
import type { CommandLine, Common, Located } from "./instructions.ts";
import type { Statement } from "./statements.ts";
import { trimSpace } from "./text.ts";
import type { Word } from "./words.ts";

export function commonOf(statement: Statement): Common {
  const { line, keyword, flags, range, comments } = statement;
  return {
    keyword: keyword.text,
    keywordRange: line.range(keyword.span),
    range,
    code: trimSpace(line.text),
    comments,
    flags: flags.map((flag) => locate(statement, flag)),
  };
}

export function locate({ line }: Statement, word: Word): Located {
  return { text: word.text, range: line.range(word.span) };
}

/** The only argument. */
export function onlyArgument({ args }: Statement, instruction: string): string {
  const [argument] = args;
  if (argument === undefined || args.length !== 1) {
    throw new LineFault(`${instruction} requires exactly one argument`, args[1]?.span);
  }
  return argument.text;
}

export function atLeastOne(instruction: string): LineFault {
  return new LineFault(`${instruction} requires at least one argument`);
}

export function commandLine({ args, json, heredocs }: Statement): CommandLine {
  const words = args.map((word) => word.text);
  return json ? { form: "exec", arguments: words } : { form: "shell", text: words.join(" "), heredocs };
}

/** What a comment directly above says of a stage or an argument: `# NAME description`. */
export function descriptionOf(comments: readonly string[], name: string): string {
  if (name === "") return "";
  const comment = comments.find((line) => line.startsWith(`${name} `));
  return comment === undefined ? "" : comment.slice(name.length + 1);
}
