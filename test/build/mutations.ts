/** Dockerfiles of the corpus with pieces changed, doubled, mixed and cut at random. */
import { corpusFiles } from "./support.ts";

const spices = [
  "\\",
  "`",
  "\n",
  "\r\n",
  "\t",
  " ",
  '"',
  "'",
  "$",
  "${",
  "}",
  "${x:-",
  "${x##*",
  "${x//a/",
  "<<",
  "<<EOF",
  "\nEOF\n",
  "--",
  "--mount=",
  "--from=",
  "--chown=",
  "=",
  ",",
  "[",
  "]",
  '["',
  '"]',
  "#",
  "\n#",
  "# escape=`\n",
  "\ufeff",
  "\0",
  "\ud800",
  "😀",
  "FROM ",
  "ONBUILD ",
  "RUN ",
  "ENV ",
  "ARG ",
  "COPY ",
  "HEALTHCHECK ",
  "AS ",
  "/../",
  "*",
  "?",
  "[a-",
]; // prettier-ignore

const texts = corpusFiles().map(({ text }) => text);

/** A few changes to one of the corpus, sometimes with a piece of another. */
export function mutated(random: (below: number) => number): string {
  const pick = <T>(items: readonly T[]): T | undefined => items[random(items.length)];
  let text = pick(texts) ?? "";
  for (let change = random(6) + 1; change > 0; change -= 1) {
    const at = random(text.length + 1);
    const length = random(12);
    switch (random(7)) {
      case 0:
        text = text.slice(0, at) + text.slice(at + length);
        break;
      case 1:
        text = text.slice(0, at) + (pick(spices) ?? "") + text.slice(at);
        break;
      case 2:
        text = text.slice(0, at) + (pick(spices) ?? "") + text.slice(at + length);
        break;
      case 3:
        text = text.slice(0, at) + text.slice(at, at + length * 8).repeat(random(4)) + text.slice(at);
        break;
      case 4:
        text = text.slice(0, at) + (pick(texts) ?? "").slice(random(100));
        break;
      case 5: {
        const lines = text.split("\n");
        const [line = ""] = lines.splice(random(lines.length), 1);
        lines.splice(random(lines.length + 1), 0, line);
        text = lines.join("\n");
        break;
      }
      default:
        text = text.slice(0, at);
    }
  }
  return text;
}
