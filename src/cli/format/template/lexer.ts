/** Cuts a Go template into text and the tokens of its actions. text/template/parse/lex.go. */

/** A template that cannot be read. The message is Go's: `template: :1: unclosed action`. */
export class TemplateSyntaxError extends Error {
  override readonly name = "TemplateSyntaxError";
}

export type TokenKind =
  | "text"
  | "left" // {{
  | "right" // }}
  | "space"
  | "field" // .Name
  | "variable" // $name
  | "identifier"
  | "keyword"
  | "dot"
  | "nil"
  | "bool"
  | "number"
  | "string"
  | "char"
  | "pipe"
  | "openParen"
  | "closeParen"
  | "declare" // :=
  | "assign" // =
  | "comma"
  | "symbol" // any other
  | "end"; // of the template

export interface Token {
  kind: TokenKind;
  text: string;
  /** Offset in the template. */
  position: number;
  line: number;
}

const keywords = new Set([
  "block",
  "break",
  "continue",
  "define",
  "else",
  "end",
  "if",
  "range",
  "template",
  "with",
]);

/** @throws TemplateSyntaxError */
export function lex(source: string): Token[] {
  return new Lexer(source).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #position = 0;
  #line = 1;
  #parens = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#position < this.#source.length) {
      const open = this.#source.indexOf("{{", this.#position);
      if (open < 0) {
        this.#emit("text", this.#source.slice(this.#position));
        break;
      }
      const trims = /^\{\{-[ \t\r\n]/.test(this.#source.slice(open, open + 4));
      const before = this.#source.slice(this.#position, open);
      const kept = trims ? before.replace(/[ \t\r\n]+$/, "") : before;
      if (kept !== "") this.#emit("text", kept);
      this.#skipTo(open);
      this.#action(trims);
    }
    this.#tokens.push({ kind: "end", text: "", position: this.#position, line: this.#line });
    return this.#tokens;
  }

  #action(trims: boolean): void {
    const bodyAt = this.#position + 2 + (trims ? 2 : 0);
    const comment = /^\/\*([\s\S]*?)\*\/([ \t\r\n]-)?\}\}/.exec(this.#source.slice(bodyAt));
    if (this.#source.startsWith("/*", bodyAt)) {
      if (comment === null) {
        const closed = this.#source.indexOf("*/", bodyAt) >= 0;
        this.#fail(closed ? "comment ends before closing delimiter" : "unclosed comment");
      }
      this.#skipTo(bodyAt + comment[0].length);
      if (comment[2] !== undefined) this.#trimText();
      return;
    }
    this.#emit("left", this.#source.slice(this.#position, bodyAt));
    this.#parens = 0;
    while (!this.#close()) this.#inside();
  }

  /** Takes `}}` or ` -}}` if it is here. */
  #close(): boolean {
    const rest = this.#source.slice(this.#position, this.#position + 4);
    const trims = /^[ \t\r\n]-\}\}/.test(rest);
    if (!trims && !rest.startsWith("}}")) return false;
    if (this.#parens > 0) this.#fail("unclosed left paren");
    this.#emit("right", trims ? rest : "}}");
    if (trims) this.#trimText();
    return true;
  }

  #inside(): void {
    const [kind, text] = this.#tokenAt(this.#source.slice(this.#position));
    this.#emit(kind, text);
  }

  #tokenAt(rest: string): [kind: TokenKind, text: string] {
    const char = rest.charAt(0);
    if (char === "") this.#fail("unclosed action");
    const space = /^[ \t\r\n]+/.exec(rest);
    if (space !== null) {
      // The space before ` -}}` belongs to the closing delimiter.
      const length = space[0].length;
      return ["space", rest.slice(0, /^[ \t\r\n]-\}\}/.test(rest.slice(length - 1)) ? length - 1 : length)];
    }
    if (char === "(") {
      this.#parens += 1;
      return ["openParen", char];
    }
    if (char === ")") {
      this.#parens -= 1;
      if (this.#parens < 0) this.#fail("unexpected right paren");
      return ["closeParen", char];
    }
    if (rest.startsWith(":=")) return ["declare", ":="];
    if (char === ":") this.#fail("expected :=");
    if (char === "=") return ["assign", char];
    if (char === "|") return ["pipe", char];
    if (char === ",") return ["comma", char];
    if (char === '"' || char === "`" || char === "'") return this.#quoted(rest, char);
    return this.#word(rest);
  }

  #quoted(rest: string, quote: string): [kind: TokenKind, text: string] {
    const pattern = { '"': /^"(?:[^"\\\n]|\\[^\n])*"/, "`": /^`[^`]*`/, "'": /^'(?:[^'\\\n]|\\[^\n])+'/ }[
      quote
    ];
    const match = pattern?.exec(rest);
    if (match === null || match === undefined) {
      if (quote === '"') this.#fail("unterminated quoted string");
      this.#fail(quote === "`" ? "unterminated raw quoted string" : "unterminated character constant");
    }
    return [quote === "'" ? "char" : "string", match[0]];
  }

  #word(rest: string): [kind: TokenKind, text: string] {
    const number = /^[+-]?(?:0[xXbBoO][0-9a-fA-F_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/.exec(rest);
    if (number !== null) {
      if (/^[\p{L}\p{Nd}_]/u.test(rest.slice(number[0].length))) {
        this.#fail(`bad number syntax: ${JSON.stringify(/^[\p{L}\p{Nd}_+.-]+/u.exec(rest)?.[0] ?? "")}`);
      }
      return ["number", number[0]];
    }
    const name = /^([.$]?)([\p{L}\p{Nd}_]*)/u.exec(rest);
    const [whole = "", sigil = "", word = ""] = name ?? [];
    if (whole === "") {
      if (/^[ -~]/.test(rest)) return ["symbol", rest.charAt(0)];
      const code = rest.codePointAt(0) ?? 0;
      const hex = code.toString(16).toUpperCase().padStart(4, "0");
      this.#fail(`unrecognized character in action: U+${hex} '${String.fromCodePoint(code)}'`);
    }
    this.#checkTerminator(rest.slice(whole.length));
    if (sigil === "$") return ["variable", whole];
    if (sigil === ".") return [word === "" ? "dot" : "field", whole];
    if (keywords.has(word)) return ["keyword", word];
    if (word === "true" || word === "false") return ["bool", word];
    return [word === "nil" ? "nil" : "identifier", word];
  }

  /** What may follow a word. */
  #checkTerminator(rest: string): void {
    if (rest === "" || /^[ \t\r\n.,|:()=]/.test(rest) || rest.startsWith("}}")) return;
    const code = rest.codePointAt(0) ?? 0;
    const hex = code.toString(16).toUpperCase().padStart(4, "0");
    this.#fail(`bad character U+${hex} '${String.fromCodePoint(code)}'`);
  }

  #trimText(): void {
    const space = /^[ \t\r\n]+/.exec(this.#source.slice(this.#position));
    if (space !== null) this.#skipTo(this.#position + space[0].length);
  }

  #emit(kind: TokenKind, text: string): void {
    this.#tokens.push({ kind, text, position: this.#position, line: this.#line });
    this.#skipTo(this.#position + text.length);
  }

  #skipTo(position: number): void {
    for (let at = this.#position; at < position; at += 1) if (this.#source[at] === "\n") this.#line += 1;
    this.#position = position;
  }

  #fail(message: string): never {
    throw new TemplateSyntaxError(`template: :${this.#line}: ${message}`);
  }
}
