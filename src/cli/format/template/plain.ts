/**
 * Templates that only name fields (`{{.ID}}\t{{.Names}}`), as those behind Docker's own tables do. They are read
 * without the template language, which commands that nobody gives a format then need not load.
 */
import { absent, type GoObject, print } from "./values.ts";

const field = /\{\{\.([A-Za-z][A-Za-z0-9]*)\}\}/;

/** Texts and names of fields in turn; undefined when the template is any other. */
export type PlainTemplate = readonly string[];

/** Undefined for a template that needs the language. */
export function parsePlain(source: string): PlainTemplate | undefined {
  const parts = source.split(field);
  return parts.some((part, at) => at % 2 === 0 && part.includes("{{")) ? undefined : parts;
}

/** undefined when it names what the object does not have. */
export function runPlain(template: PlainTemplate, object: GoObject): string | undefined {
  let output = "";
  for (const [at, part] of template.entries()) {
    if (at % 2 === 0) {
      output += part;
      continue;
    }
    const value = object.member(part, []);
    if (value === absent) return undefined;
    output += print(value);
  }
  return output;
}
