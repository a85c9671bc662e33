/** Makes the tokens of a template into nodes. text/template/parse/parse.go, without define and template. */
import { lex, TemplateSyntaxError, type Token, type TokenKind } from "./lexer.ts";
import type { CommandNode, Node, Operand, Pipe } from "./nodes.ts";
import type { Value } from "./values.ts";

export { TemplateSyntaxError };

/** @param functions names that may be called. @throws TemplateSyntaxError */
export function parse(source: string, functions: ReadonlySet<string>): Node[] {
  return new Parser(lex(source), functions).run();
}

type BlockEnd = "end" | "else" | "eof";

class Parser {
  readonly #tokens: Token[];
  readonly #functions: ReadonlySet<string>;
  #at = 0;
  #variables: string[] = ["$"];
  #loops = 0;

  constructor(tokens: Token[], functions: ReadonlySet<string>) {
    this.#tokens = tokens;
    this.#functions = functions;
  }

  run(): Node[] {
    const { nodes, end } = this.#list();
    if (end !== "eof") this.#fail(`unexpected {{${end}}}`);
    return nodes;
  }

  #list(): { nodes: Node[]; end: BlockEnd } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#next();
      if (token.kind === "end") return { nodes, end: "eof" };
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.text });
        continue;
      }
      const word = this.#peekFull();
      if (word.kind === "keyword" && (word.text === "end" || word.text === "else")) {
        this.#nextFull();
        if (word.text === "end") this.#expect("right", "end");
        return { nodes, end: word.text };
      }
      nodes.push(this.#action());
    }
  }

  #action(): Node {
    const token = this.#peekFull();
    if (token.kind !== "keyword") {
      const declared = this.#variables.length;
      const pipe = this.#pipe("command", "right");
      if (pipe.variables.length === 0) this.#variables.length = declared;
      return { kind: "action", pipe };
    }
    this.#nextFull();
    switch (token.text) {
      case "if":
      case "with":
      case "range":
        return this.#branch(token.text);
      case "break":
      case "continue":
        if (this.#loops === 0) this.#fail(`{{${token.text}}} outside {{range}}`);
        this.#expect("right", `{{${token.text}}}`);
        return { kind: token.text };
      default:
        this.#fail(`{{${token.text}}} is not supported in formats`);
    }
  }

  #branch(kind: "if" | "with" | "range"): Node {
    const declared = this.#variables.length;
    const pipe = this.#pipe(kind, "right");
    if (kind === "range") this.#loops += 1;
    const body = this.#list();
    if (kind === "range") this.#loops -= 1;
    let otherwise: Node[] = [];
    if (body.end === "eof") this.#failAtEnd();
    if (body.end === "else") otherwise = this.#otherwise(kind);
    this.#variables.length = declared;
    return { kind, pipe, body: body.nodes, otherwise };
  }

  /** After `{{else`. */
  #otherwise(kind: "if" | "with" | "range"): Node[] {
    const token = this.#peekFull();
    if (token.kind === "keyword" && token.text === kind && kind !== "range") {
      this.#nextFull();
      return [this.#branch(kind)];
    }
    this.#expect("right", "else");
    const { nodes, end } = this.#list();
    if (end === "eof") this.#failAtEnd();
    if (end === "else") this.#fail("expected end; found {{else}}");
    return nodes;
  }

  #pipe(context: string, end: TokenKind): Pipe {
    const start = this.#peekFull();
    const pipe: Pipe = {
      kind: "pipe",
      position: start.position,
      variables: [],
      assigns: false,
      commands: [],
    };
    this.#declarations(pipe, context);
    for (;;) {
      const token = this.#nextFull();
      if (token.kind === end) {
        if (pipe.commands.length === 0) this.#fail(`missing value for ${context}`);
        for (const command of pipe.commands.slice(1)) {
          const first = command.words[0]?.kind;
          if (first === "literal" || first === "nil" || first === "dot") {
            this.#fail(`non executable command in pipeline stage ${pipe.commands.indexOf(command) + 1}`);
          }
        }
        return pipe;
      }
      if (
        [
          "bool",
          "char",
          "dot",
          "field",
          "identifier",
          "number",
          "nil",
          "string",
          "variable",
          "openParen",
        ].includes(token.kind)
      ) {
        this.#at -= 1;
        pipe.commands.push(this.#command());
        continue;
      }
      this.#unexpected(token, context);
    }
  }

  /** `$x :=`, `$x =`, and in a range `$i, $v :=`. */
  #declarations(pipe: Pipe, context: string): void {
    const start = this.#at;
    const names: string[] = [];
    for (;;) {
      const variable = this.#peekFull();
      if (variable.kind !== "variable") break;
      this.#nextFull();
      names.push(variable.text);
      const after = this.#peekFull();
      if (after.kind === "comma" && context === "range" && names.length === 1) {
        this.#nextFull();
        continue;
      }
      if (after.kind === "declare" || after.kind === "assign") {
        this.#nextFull();
        pipe.variables = names;
        pipe.assigns = after.kind === "assign";
        if (after.kind === "declare") this.#variables.push(...names);
        return;
      }
      break;
    }
    this.#at = start;
  }

  #command(): CommandNode {
    const command: CommandNode = { kind: "command", position: this.#peekFull().position, words: [] };
    for (;;) {
      this.#peekFull();
      const operand = this.#operand();
      if (operand !== undefined) command.words.push(operand);
      const token = this.#next();
      if (token.kind === "space") continue;
      if (token.kind === "right" || token.kind === "closeParen") {
        this.#at -= 1;
      } else if (token.kind !== "pipe") {
        this.#unexpected(token, "operand");
      }
      break;
    }
    if (command.words.length === 0) this.#fail("empty command");
    return command;
  }

  /** A term with the fields behind it. */
  #operand(): Operand | undefined {
    const term = this.#term();
    if (term === undefined) return undefined;
    const first = this.#peek();
    if (first.kind !== "field") return term;
    const names: string[] = [];
    while (this.#peek().kind === "field") names.push(this.#next().text.slice(1));
    const position = first.position;
    switch (term.kind) {
      case "field":
        return { kind: "field", position, names: [...term.names, ...names] };
      case "variable":
        return { ...term, position, names: [...term.names, ...names] };
      case "literal":
      case "nil":
      case "dot":
        this.#fail(
          `unexpected . after term ${JSON.stringify(term.kind === "literal" ? term.text : term.kind)}`,
        );
        break;
      default:
        return { kind: "chain", position, of: term, names };
    }
  }

  #term(): Operand | undefined {
    const token = this.#nextFull();
    const { position, text } = token;
    switch (token.kind) {
      case "identifier":
        if (!this.#functions.has(text)) this.#fail(`function ${JSON.stringify(text)} not defined`);
        return { kind: "function", position, name: text };
      case "dot":
        return { kind: "dot", position };
      case "nil":
        return { kind: "nil", position };
      case "variable":
        if (!this.#variables.includes(text)) this.#fail(`undefined variable ${JSON.stringify(text)}`);
        return { kind: "variable", position, name: text, names: [] };
      case "field":
        return { kind: "field", position, names: [text.slice(1)] };
      case "bool":
        return { kind: "literal", position, value: text === "true", text };
      case "number":
        return { kind: "literal", position, value: Number(text.replaceAll("_", "")), text };
      case "char":
      case "string":
        return { kind: "literal", position, value: this.#unquote(text), text };
      case "openParen":
        return this.#pipe("parenthesized pipeline", "closeParen");
      default:
        this.#at -= 1;
        return undefined;
    }
  }

  #unquote(text: string): Value {
    if (text.startsWith("`")) return text.slice(1, -1);
    const body = text.slice(1, -1).replace(escapes, (whole, sequence: string) => {
      const simple = simpleEscapes[sequence];
      if (simple !== undefined) return simple;
      if (/^[xuU]/.test(sequence)) return String.fromCodePoint(Number.parseInt(sequence.slice(1), 16));
      if (/^[0-7]{3}$/.test(sequence)) return String.fromCodePoint(Number.parseInt(sequence, 8));
      this.#fail("invalid syntax");
      return whole;
    });
    return text.startsWith("'") ? (body.codePointAt(0) ?? 0) : body;
  }

  #expect(kind: TokenKind, context: string): void {
    const token = this.#nextFull();
    if (token.kind !== kind) this.#unexpected(token, context);
  }

  #next(): Token {
    const token = this.#peek();
    if (this.#at < this.#tokens.length - 1) this.#at += 1;
    return token;
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { kind: "end", text: "", position: 0, line: 1 };
  }

  /** The next token that is no space. */
  #nextFull(): Token {
    this.#peekFull();
    return this.#next();
  }

  #peekFull(): Token {
    while (this.#peek().kind === "space") this.#at += 1;
    return this.#peek();
  }

  #unexpected(token: Token, context: string): never {
    if (token.kind === "end") this.#fail("unexpected EOF");
    const quoted = JSON.stringify(token.text.length > 10 ? `${token.text.slice(0, 10)}...` : token.text);
    const shown = token.kind === "keyword" ? `<${token.text}>` : quoted;
    this.#fail(`unexpected ${shown} in ${context}`, token);
  }

  #failAtEnd(): never {
    this.#fail("unexpected EOF");
  }

  #fail(message: string, token: Token = this.#tokens[Math.max(0, this.#at - 1)] ?? this.#peek()): never {
    throw new TemplateSyntaxError(`template: :${token.line}: ${message}`);
  }
}

const escapes = /\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/g;
const simpleEscapes: Record<string, string> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  "\\": "\\",
  '"': '"',
  "'": "'",
};
