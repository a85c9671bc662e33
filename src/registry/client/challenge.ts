/** WWW-Authenticate: which scheme a server wants and with which parameters. RFC 9110, 11.6.1. */

export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const longestHeader = 16 * 1024;

/** All challenges of a header, also where several headers were joined with commas. What cannot be read is left out. */
export function parseChallenges(header: string | null): Challenge[] {
  if (header === null || header.length > longestHeader) return [];
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  const reader = new Reader(header);
  for (;;) {
    reader.skip(/[\s,]+/y);
    const word = reader.take(token);
    if (word === undefined) return challenges;
    reader.skip(/[ \t]+/y);
    if (!reader.skip(/=[ \t]*/y)) {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      continue;
    }
    const value = reader.take(token) ?? reader.quoted();
    const last = challenges.at(-1);
    if (value === undefined || last === undefined) return challenges;
    last.parameters.set(word.toLowerCase(), value);
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  skip(pattern: RegExp): boolean {
    return this.take(pattern) !== undefined;
  }

  /** A quoted string without its quotes and escapes. */
  quoted(): string | undefined {
    return this.take(/"(?:[^"\\]|\\.)*"/y)
      ?.slice(1, -1)
      .replace(/\\(.)/g, "$1");
  }
}
