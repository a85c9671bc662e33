/** `--chmod`: octal, or symbolic as chmod(1) has it. */
import { LineFault } from "../errors.ts";

const clause = /^[ugoa]*(?:[-+=][rwxXstugo]*)+$/;

/** @throws LineFault for what is no mode */
export function checkMode(text: string): void {
  if (/^[-+]?[0-9]/.test(text)) {
    if (/^[0-7]+$/.test(text) && Number.parseInt(text, 8) <= 0o7777) return;
    throw new LineFault(
      `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    );
  }
  if (!text.split(",").every((part) => clause.test(part))) throw new LineFault("invalid syntax");
}
