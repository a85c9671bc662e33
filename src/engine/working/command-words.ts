/** `--cmd`, `--entrypoint` and `--shell`: command lines, or lists in JSON. */
import { InvalidParameter } from "../../core/errors.ts";
import { jsonList } from "../../images/changes.ts";
import { splitWords } from "../../images/words.ts";

/** @throws InvalidParameter `parsing --cmd "…": invalid command line string` */
export function commandWords(flag: "cmd" | "shell", text: string): string[] {
  if (text.trim() === "") return [];
  return listIn(text) ?? wordsOf(flag, text);
}

/** What is no list is for the shell to read. */
export function entrypointWords(text: string): string[] {
  if (text.trim() === "") return [];
  return listIn(text) ?? ["/bin/sh", "-c", text];
}

/** What JSON takes for white space may stand before a list. */
function listIn(text: string): string[] | undefined {
  return jsonList(text.replace(/^[ \t\r\n]+/, ""));
}

/** As a shell takes quotes and backslashes away; nothing else means anything. */
function wordsOf(flag: string, text: string): string[] {
  return splitWords(text).map((word) => {
    let bare = "";
    let quote = "";
    for (let at = 0; at < word.length; at += 1) {
      const character = word.charAt(at);
      if (character === "\\" && quote !== "'") {
        at += 1;
        bare += word.charAt(at);
      } else if (character === quote) quote = "";
      else if (quote === "" && (character === '"' || character === "'")) quote = character;
      else bare += character;
    }
    if (quote !== "")
      throw new InvalidParameter(`parsing --${flag} ${JSON.stringify(text)}: invalid command line string`);
    return bare;
  });
}
