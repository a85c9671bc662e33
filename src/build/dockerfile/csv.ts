/** One line of comma-separated values, as Go's encoding/csv reads it. */
import { LineFault } from "./errors.ts";

/** @throws LineFault in Go's words, without what was being read. */
export function csvFields(text: string): string[] {
  const line = text.endsWith("\r\n") ? text.slice(0, -2) : text.endsWith("\n") ? text.slice(0, -1) : text;
  if (line === "") throw new LineFault("EOF");
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (line[at] !== '"') {
      const comma = line.indexOf(",", at);
      const field = line.slice(at, comma < 0 ? line.length : comma);
      const quote = field.indexOf('"');
      if (quote >= 0) throw parseError(line, at + quote, 'bare " in non-quoted-field');
      fields.push(field);
      if (comma < 0) return fields;
      at = comma + 1;
      continue;
    }
    const { field, end } = quotedField(line, at + 1);
    fields.push(field);
    if (end === line.length) return fields;
    at = end + 1;
  }
}

function quotedField(line: string, start: number): { field: string; end: number } {
  let field = "";
  for (let at = start; ; ) {
    const quote = line.indexOf('"', at);
    if (quote < 0) throw parseError(line, at, 'extraneous or missing " in quoted-field');
    field += line.slice(at, quote);
    if (line[quote + 1] === '"') {
      field += '"';
      at = quote + 2;
    } else if (quote + 1 === line.length || line[quote + 1] === ",") return { field, end: quote + 1 };
    else throw parseError(line, quote, 'extraneous or missing " in quoted-field');
  }
}

function parseError(line: string, at: number, fault: string): LineFault {
  const column = Buffer.byteLength(line.slice(0, at)) + 1;
  return new LineFault(`parse error on line 1, column ${column}: ${fault}`);
}
