/** The keys that leave a container running: `ctrl-p,ctrl-q` unless the user chose others. */
import { CommandError } from "../command.ts";

const named: Record<string, number> = {
  "ctrl-@": 0,
  "ctrl-[": 27,
  "ctrl-\\": 28,
  "ctrl-]": 29,
  "ctrl-^": 30,
  "ctrl-_": 31,
  del: 127,
};

const defaultKeys = "ctrl-p,ctrl-q";

/** Bytes of a comma-separated list of keys; the empty list stands for the default. @throws CommandError */
export function parseDetachKeys(text: string): Uint8Array {
  const keys = (text === "" ? defaultKeys : text).split(",");
  return new Uint8Array(keys.map((key) => keyCode(key, text)));
}

function keyCode(key: string, all: string): number {
  if (/^[ -~]$/.test(key)) return key.charCodeAt(0);
  const letter = /^ctrl-([a-z])$/.exec(key.toLowerCase())?.[1];
  if (letter !== undefined) return letter.charCodeAt(0) - 96;
  const code = named[key.toLowerCase()];
  if (code === undefined)
    throw new CommandError(`invalid detach keys (${all}) provided: Unknown character: '${key}'`);
  return code;
}

/**
 * Passes typed bytes on and watches for the detach keys, wherever the chunks are cut. What might be the beginning
 * of the keys is held back until it is clear that it is not.
 */
export class DetachFilter {
  readonly #keys: Uint8Array;
  #held: number[] = [];

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** What to pass on of `chunk`; `detached` when the keys were completed: the rest is dropped. */
  push(chunk: Uint8Array): { data: Uint8Array; detached: boolean } {
    const passed: number[] = [];
    for (const byte of chunk) {
      this.#held.push(byte);
      while (!this.#couldBeKeys()) {
        const first = this.#held.shift();
        if (first !== undefined) passed.push(first);
      }
      if (this.#keys.length > 0 && this.#held.length === this.#keys.length) {
        this.#held = [];
        return { data: new Uint8Array(passed), detached: true };
      }
    }
    return { data: new Uint8Array(passed), detached: false };
  }

  /** What was held back, when the input has ended. */
  end(): Uint8Array {
    const rest = new Uint8Array(this.#held);
    this.#held = [];
    return rest;
  }

  #couldBeKeys(): boolean {
    return this.#held.every((byte, at) => byte === this.#keys[at]);
  }
}
