/** Runs a parsed template over a value. text/template/exec.go. */
import { messageOf } from "../../../core/errors.ts";
import { type Functions, WrongArgument } from "./functions.ts";
import { type CommandNode, type Node, type Operand, type Pipe, show } from "./nodes.ts";
import { absent, GoObject, isMap, isTrue, print, sortedKeys, typeOf, type Value } from "./values.ts";

/** A template that failed on its data. The message is Go's: `template: :1:2: executing "" at <.Foo>: …`. */
export class TemplateExecutionError extends Error {
  override readonly name = "TemplateExecutionError";
}

export interface ExecuteOptions {
  source: string;
  functions: Functions;
  /** A key that a map does not have is an error instead of a missing value. */
  missingKeyIsError?: boolean;
}

/** @throws TemplateExecutionError */
export function execute(nodes: readonly Node[], data: Value, options: ExecuteOptions): string {
  const machine = new Machine(data, options);
  machine.walk(nodes, data);
  return machine.output;
}

type Flow = "go on" | "break" | "continue";

class Machine {
  output = "";
  readonly #options: ExecuteOptions;
  readonly #variables: { name: string; value: Value }[];

  constructor(data: Value, options: ExecuteOptions) {
    this.#options = options;
    this.#variables = [{ name: "$", value: data }];
  }

  walk(nodes: readonly Node[], dot: Value): Flow {
    for (const node of nodes) {
      const flow = this.#step(node, dot);
      if (flow !== "go on") return flow;
    }
    return "go on";
  }

  #step(node: Node, dot: Value): Flow {
    switch (node.kind) {
      case "text":
        this.output += node.text;
        return "go on";
      case "action": {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.variables.length === 0) this.output += print(value);
        return "go on";
      }
      case "break":
      case "continue":
        return node.kind;
      case "if":
      case "with": {
        const mark = this.#variables.length;
        const value = this.#pipe(node.pipe, dot);
        const flow = isTrue(value)
          ? this.walk(node.body, node.kind === "with" ? value : dot)
          : this.walk(node.otherwise, dot);
        this.#variables.length = mark;
        return flow;
      }
      case "range": {
        const mark = this.#variables.length;
        const items = this.#itemsOf(this.#pipe(node.pipe, dot), node.pipe);
        for (const [key, item] of items) {
          this.#setRangeVariables(node.pipe, key, item);
          const inner = this.#variables.length;
          const flow = this.walk(node.body, item);
          this.#variables.length = inner;
          if (flow === "break") break;
        }
        const flow = items.length === 0 ? this.walk(node.otherwise, dot) : "go on";
        this.#variables.length = mark;
        return flow;
      }
    }
  }

  #itemsOf(value: Value, pipe: Pipe): [Value, Value][] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((item, index) => [index, item]);
    if (isMap(value)) return sortedKeys(value).map((key) => [key, value[key]]);
    if (typeof value === "number" && Number.isInteger(value)) {
      return Array.from({ length: Math.max(0, value) }, (_, index): [Value, Value] => [index, index]);
    }
    return this.#fail(pipe, `range can't iterate over ${print(value)}`);
  }

  #setRangeVariables(pipe: Pipe, key: Value, item: Value): void {
    const [first, second] = pipe.variables;
    if (first === undefined) return;
    this.#assign(first, second === undefined ? item : key);
    if (second !== undefined) this.#assign(second, item);
  }

  #assign(name: string, value: Value): void {
    const variable = this.#variables.findLast((candidate) => candidate.name === name);
    if (variable !== undefined) variable.value = value;
  }

  #pipe(pipe: Pipe, dot: Value): Value {
    let value: Value;
    pipe.commands.forEach((command, index) => {
      value = this.#command(command, dot, index === 0 ? [] : [value]);
    });
    for (const name of pipe.variables) {
      if (pipe.assigns) this.#assign(name, value);
      else this.#variables.push({ name, value });
    }
    return value;
  }

  /** @param piped the value of the command before, which becomes the last argument */
  #command(command: CommandNode, dot: Value, piped: Value[]): Value {
    const [first, ...words] = command.words;
    if (first === undefined) return undefined;
    if (first.kind === "function") return this.#call(first, words, dot, piped);
    if (first.kind === "field") return this.#fields(dot, first.names, first, words, dot, piped);
    if (first.kind === "variable" && first.names.length > 0) {
      return this.#fields(this.#variable(first.name), first.names, first, words, dot, piped);
    }
    if (first.kind === "chain") {
      return this.#fields(this.#operand(first.of, dot), first.names, first, words, dot, piped);
    }
    if (words.length > 0 || piped.length > 0) {
      this.#fail(first, `can't give argument to non-function ${show(first)}`);
    }
    if (first.kind === "nil") this.#fail(first, "nil is not a command");
    return this.#operand(first, dot);
  }

  #operand(node: Operand, dot: Value): Value {
    switch (node.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "literal":
        return node.value;
      case "field":
        return this.#fields(dot, node.names, node, [], dot, []);
      case "variable":
        return this.#fields(this.#variable(node.name), node.names, node, [], dot, []);
      case "chain":
        return this.#fields(this.#operand(node.of, dot), node.names, node, [], dot, []);
      case "function":
        return this.#call(node, [], dot, []);
      case "pipe":
        return this.#pipe(node, dot);
    }
  }

  #variable(name: string): Value {
    return this.#variables.findLast((variable) => variable.name === name)?.value;
  }

  #call(
    node: Operand & { kind: "function" },
    words: readonly Operand[],
    dot: Value,
    piped: readonly Value[],
  ): Value {
    // `and` and `or` stop at the first argument that decides.
    if (node.name === "and" || node.name === "or") {
      let value: Value;
      for (const word of words) {
        value = this.#operand(word, dot);
        if (isTrue(value) === (node.name === "or")) return value;
      }
      return piped.length > 0 ? piped[0] : value;
    }
    const implementation = this.#options.functions.get(node.name);
    if (implementation === undefined)
      return this.#fail(node, `${JSON.stringify(node.name)} is not a defined function`);
    const args = [...words.map((word) => this.#operand(word, dot)), ...piped];
    const { least, most = Number.POSITIVE_INFINITY } = implementation;
    if (args.length < least || args.length > most) {
      const want = most === Number.POSITIVE_INFINITY ? `at least ${least}` : String(least);
      this.#fail(node, `wrong number of args for ${node.name}: want ${want} got ${args.length}`);
    }
    try {
      return implementation.call(args);
    } catch (error) {
      if (error instanceof WrongArgument) return this.#failAtArgument(error, node, words, args);
      const call: CommandNode = { kind: "command", position: node.position, words: [node, ...words] };
      return this.#fail(call, `error calling ${node.name}: ${messageOf(error)}`);
    }
  }

  #failAtArgument(
    error: WrongArgument,
    node: Operand,
    words: readonly Operand[],
    args: readonly Value[],
  ): never {
    const word = words[args.indexOf(error.argument)] ?? node;
    if (word.kind !== "literal") this.#fail(word, error.message);
    this.#fail(word, `expected ${error.wanted}; found ${word.text}`);
  }

  /** Follows `.A.B.C`; the arguments go to the last. */
  #fields(
    start: Value,
    names: readonly string[],
    node: Operand,
    words: readonly Operand[],
    dot: Value,
    piped: readonly Value[],
  ): Value {
    let value = start;
    names.forEach((name, index) => {
      const isLast = index === names.length - 1;
      const args = isLast ? [...words.map((word) => this.#operand(word, dot)), ...piped] : [];
      value = this.#field(value, name, args, node);
    });
    return value;
  }

  #field(value: Value, name: string, args: readonly Value[], node: Operand): Value {
    if (value === undefined) {
      if (this.#options.missingKeyIsError === true)
        this.#fail(node, `nil data; no entry for key ${JSON.stringify(name)}`);
      return undefined;
    }
    if (value === null) return this.#fail(node, `nil pointer evaluating interface {}.${name}`);
    if (value instanceof GoObject) {
      const member = this.#memberOf(value, name, args, node);
      if (member === absent)
        return this.#fail(node, `can't evaluate field ${name} in type ${value.typeName}`);
      return member;
    }
    if (isMap(value)) {
      if (args.length > 0) this.#fail(node, `${name} is not a method but has arguments`);
      if (Object.hasOwn(value, name)) return value[name];
      if (this.#options.missingKeyIsError === true) {
        this.#fail(node, `map has no entry for key ${JSON.stringify(name)}`);
      }
      return undefined;
    }
    return this.#fail(node, `can't evaluate field ${name} in type ${typeOf(value)}`);
  }

  #memberOf(object: GoObject, name: string, args: readonly Value[], node: Operand): Value | typeof absent {
    try {
      return object.member(name, args);
    } catch (error) {
      return this.#fail(node, messageOf(error));
    }
  }

  #fail(node: Operand | CommandNode, message: string): never {
    const before = this.#options.source.slice(0, node.position);
    const line = before.split("\n").length;
    const column = Buffer.byteLength(before.slice(before.lastIndexOf("\n") + 1));
    throw new TemplateExecutionError(
      `template: :${line}:${column}: executing "" at <${show(node)}>: ${message}`,
    );
  }
}
