/** How far the copying of a blob has come, for those who already read it. */
export class Arrival {
  readonly #followers: ((written: number, isWhole: boolean) => void)[] = [];
  /** Bytes of the file that are there. */
  written = 0;
  isWhole = false;

  /** There are more bytes, or with `isWhole` all of them. */
  advance(written: number, isWhole: boolean): void {
    this.written = written;
    this.isWhole = isWhole;
    for (const follower of this.#followers) follower(written, isWhole);
  }

  /** `told` of every advance from now on. Of copying that fails nobody is told here: its signal is aborted. */
  follow(told: (written: number, isWhole: boolean) => void): void {
    this.#followers.push(told);
  }
}
