/**
 * A block of lines at the bottom of a terminal, one for each layer, redrawn in place.
 *
 * The cursor rests at the beginning of the line below the block. Lines are cut so that none wraps; should the
 * terminal become narrower, those on the screen wrap after all, and are counted so. A block that is higher than the
 * terminal shows what is being worked on, and all of its lines once they are final.
 */
import type { ProgressMessage } from "../../engine/engine.ts";
import type { Io, OutputStream, TerminalSize } from "../io.ts";
import { isBare, type ProgressDetail, progressText } from "./bar.ts";
import type { ProgressDisplay } from "./display.ts";

/** Milliseconds between two pictures. */
const interval = 60;
/** Where nobody has set the terminal's size. */
const usualSize: TerminalSize = { width: 80, height: 24 };

/** Nothing more is said of a layer of which this was said. */
const final = /^(Pull complete|Already exists|Layer already exists|Pushed|Mounted from )/;

interface Line {
  id: string;
  status: string;
  detail: ProgressDetail;
}

export class Board implements ProgressDisplay {
  readonly #io: Io;
  readonly #stream: OutputStream;
  readonly #lines = new Map<string, Line>();
  readonly #forgetSize: () => void;
  #note = "";
  /** What is on the screen now. */
  #drawn: string[] = [];
  #drawnAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  /** Writes follow each other. */
  #writing: Promise<void> = Promise.resolve();
  /** Of a picture that nobody waited for. */
  #failure: { error: unknown } | undefined;

  constructor(io: Io, stream: OutputStream) {
    this.#io = io;
    this.#stream = stream;
    this.#forgetSize = io.onSignal(["SIGWINCH"], () => this.#drawLater(0));
  }

  async show(message: ProgressMessage): Promise<void> {
    this.#rethrow();
    if (message.aux !== undefined) return;
    const { id = "", status = "", progressDetail } = message;
    const key = printable(id);
    if (id === "" || (progressDetail === undefined && !this.#lines.has(key))) {
      await this.#print(textOf(message));
      return;
    }
    this.#lines.set(key, { id: key, status: printable(status), detail: progressDetail ?? {} });
    await this.#changed();
  }

  async note(text: string): Promise<void> {
    this.#rethrow();
    this.#note = text;
    await this.#changed();
  }

  async finish(): Promise<void> {
    this.#forgetSize();
    await this.#print("");
    this.#rethrow();
  }

  async #changed(): Promise<void> {
    const wait = this.#drawnAt + interval - this.#io.now();
    if (wait > 0) this.#drawLater(wait);
    else await this.#draw();
  }

  #drawLater(milliseconds: number): void {
    this.#timer ??= setTimeout(() => {
      this.#draw().catch((error) => {
        this.#failure = { error };
      });
    }, milliseconds);
  }

  /** Makes the block final and prints `text` below it; what comes then begins a new block. */
  #print(text: string): Promise<void> {
    return this.#write(() => {
      const { width } = this.#size();
      const final = [...this.#lines.values()].map((line) => lineText(line, width));
      const output = this.#redraw(final, width) + text;
      this.#lines.clear();
      this.#note = "";
      this.#drawn = [];
      return output;
    });
  }

  #draw(): Promise<void> {
    return this.#write(() => {
      const { width, height } = this.#size();
      this.#drawnAt = this.#io.now();
      const note = this.#note === "" ? [] : [fit(this.#note, width)];
      return this.#redraw([...this.#visible(width, height - 1 - note.length), ...note], width);
    });
  }

  /** @param make looks at the state when its turn has come */
  #write(make: () => string): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const written = this.#writing.then(async () => {
      const output = make();
      if (output !== "") await this.#stream.write(output);
    });
    this.#writing = written.catch(() => {});
    return written;
  }

  /** As many lines as fit: where they do not all fit, those that move, and the count of the others. */
  #visible(width: number, rows: number): string[] {
    const lines = [...this.#lines.values()];
    if (lines.length <= rows) return lines.map((line) => lineText(line, width));
    const moving = lines.filter((line) => !isBare(line.detail));
    const shown = new Set([...moving, ...lines].slice(0, Math.max(0, rows - 1)));
    const hidden = lines.filter((line) => !shown.has(line));
    const done = hidden.filter(({ status }) => final.test(status)).length;
    const others = `… and ${hidden.length} more${done === 0 ? "" : ` (${done} done)`}`;
    return [
      ...lines.filter((line) => shown.has(line)).map((line) => lineText(line, width)),
      fit(others, width),
    ];
  }

  /** Goes to the top of what is drawn and changes what differs. */
  #redraw(texts: readonly string[], width: number): string {
    const before = this.#drawn;
    if (texts.length === before.length && texts.every((text, at) => text === before[at])) return "";
    this.#drawn = [...texts];
    const heights = before.map((text) => Math.max(1, Math.ceil(Bun.stringWidth(text) / width)));
    const rows = heights.reduce((sum, height) => sum + height, 0);
    const top = rows === 0 ? "" : `\r\x1b[${rows}A`;
    const isWrapped = rows > before.length;
    const body = texts.map((text, at) => (!isWrapped && text === before[at] ? "\n" : `${text}\x1b[K\n`));
    const surplus = texts.length < before.length || isWrapped;
    return `${top}${isWrapped ? "\x1b[J" : ""}${body.join("")}${surplus ? "\x1b[J" : ""}`;
  }

  #size(): TerminalSize {
    const size = this.#stream.size();
    return size === undefined || size.width === 0 || size.height === 0 ? usualSize : size;
  }

  #rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function lineText({ id, status, detail }: Line, width: number): string {
  return fit(`${id}: ${status} ${progressText(detail, width)}`.trimEnd(), width);
}

/** Cut to leave the last column free: a full line would wrap, or not, as the terminal likes. */
function fit(text: string, width: number): string {
  if (Bun.stringWidth(text) < width) return text;
  let cut = "";
  let columns = 0;
  for (const letter of text) {
    columns += Bun.stringWidth(letter);
    if (columns >= width) break;
    cut += letter;
  }
  return cut;
}

function textOf({ stream, status, id }: ProgressMessage): string {
  if (stream !== undefined && stream !== "") return stream;
  if (status === undefined) return "";
  return id === undefined || id === ""
    ? `${printable(status)}\n`
    : `${printable(id)}: ${printable(status)}\n`;
}

/** What a server calls its layers must not move our cursor. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "�");
}
