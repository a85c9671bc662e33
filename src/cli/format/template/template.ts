/** Go templates: parse once, run often. */
import { execute } from "./execute.ts";
import { type Functions, headingFunctions, templateFunctions } from "./functions.ts";
import type { Node } from "./nodes.ts";
import { parse } from "./parser.ts";
import type { Value } from "./values.ts";

export { TemplateExecutionError } from "./execute.ts";
export { TemplateSyntaxError } from "./parser.ts";

const names = new Set(templateFunctions.keys());

export class Template {
  readonly #source: string;
  readonly #nodes: Node[];

  /** @throws TemplateSyntaxError in Go's words */
  constructor(source: string) {
    this.#source = source;
    this.#nodes = parse(source, names);
  }

  /** @throws TemplateExecutionError in Go's words */
  run(data: Value, options: { missingKeyIsError?: boolean } = {}): string {
    return this.#run(data, templateFunctions, options.missingKeyIsError ?? false);
  }

  /** The line of headings: what a cell would name, untouched by Docker's functions. */
  headings(data: Value): string {
    return this.#run(data, headingFunctions, false);
  }

  #run(data: Value, functions: Functions, missingKeyIsError: boolean): string {
    return execute(this.#nodes, data, { source: this.#source, functions, missingKeyIsError });
  }
}
