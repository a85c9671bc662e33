/** The parsed form of a Go template. text/template/parse/node.go. */
import type { Value } from "./values.ts";

export type Node = TextNode | ActionNode | BranchNode | RangeNode | JumpNode;

export interface TextNode {
  kind: "text";
  text: string;
}

/** `{{pipeline}}` */
export interface ActionNode {
  kind: "action";
  pipe: Pipe;
}

export interface BranchNode {
  kind: "if" | "with";
  pipe: Pipe;
  body: Node[];
  otherwise: Node[];
}

export interface RangeNode {
  kind: "range";
  pipe: Pipe;
  body: Node[];
  otherwise: Node[];
}

export interface JumpNode {
  kind: "break" | "continue";
}

export interface Pipe {
  kind: "pipe";
  position: number;
  /** `$x :=` or `$i, $v :=` */
  variables: string[];
  assigns: boolean;
  commands: CommandNode[];
}

export interface CommandNode {
  kind: "command";
  position: number;
  words: Operand[];
}

export type Operand =
  | { kind: "dot"; position: number }
  | { kind: "nil"; position: number }
  | { kind: "literal"; position: number; value: Value; text: string }
  | { kind: "field"; position: number; names: string[] }
  | { kind: "variable"; position: number; name: string; names: string[] }
  | { kind: "function"; position: number; name: string }
  | { kind: "chain"; position: number; of: Operand; names: string[] }
  | Pipe;

/** The node as Go prints it in its messages. */
export function show(node: Operand | CommandNode): string {
  switch (node.kind) {
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "literal":
      return node.text;
    case "field":
      return node.names.map((name) => `.${name}`).join("");
    case "variable":
      return [node.name, ...node.names].join(".");
    case "function":
      return node.name;
    case "chain": {
      const inner = node.of.kind === "pipe" ? `(${show(node.of)})` : show(node.of);
      return inner + node.names.map((name) => `.${name}`).join("");
    }
    case "command":
      return node.words.map((word) => (word.kind === "pipe" ? `(${show(word)})` : show(word))).join(" ");
    case "pipe": {
      const declared =
        node.variables.length === 0 ? "" : `${node.variables.join(", ")} ${node.assigns ? "=" : ":="} `;
      return declared + node.commands.map(show).join(" | ");
    }
  }
}
