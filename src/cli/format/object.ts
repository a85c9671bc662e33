/** `--format` for one object: a template over it as Go sees it, and where that fails, over its plain JSON. */
import { CommandError } from "../command.ts";
import { Template, TemplateExecutionError, TemplateSyntaxError } from "./template/template.ts";
import { absent, fromJson, GoObject, type Value } from "./template/values.ts";

/** Docker's exit status for a format that cannot be read. */
const unreadable = 64;

/** @throws CommandError in Docker's words */
export function objectTemplate(format: string): Template {
  try {
    return new Template(format === "json" ? "{{json .}}" : format);
  } catch (error) {
    if (!(error instanceof TemplateSyntaxError)) throw error;
    throw new CommandError(`template parsing error: ${error.message}`, unreadable);
  }
}

/** @throws TemplateExecutionError of the second try, over plain JSON */
export function runOnObject(template: Template, typed: GoObject, json: object): string {
  try {
    return template.run(typed);
  } catch (error) {
    if (!(error instanceof TemplateExecutionError)) throw error;
    return template.run(fromJson(json), { missingKeyIsError: true });
  }
}

/** A JSON object of which unknown fields are an error that names `typeName`. */
export class NamedObject extends GoObject {
  readonly typeName: string;
  readonly #json: object;

  constructor(typeName: string, json: object) {
    super();
    this.typeName = typeName;
    this.#json = json;
  }

  override member(name: string): Value | typeof absent {
    const entry = Object.entries(this.#json).find(([key]) => key === name);
    return entry === undefined ? absent : fromJson(entry[1]);
  }

  override toJson(): unknown {
    return this.#json;
  }

  override print(): string {
    return JSON.stringify(this.#json);
  }
}
