/** A place to work on containers as Buildah does: an instance of its own, and a directory of files. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type DavitInstance,
  davitBinary,
  type Finished,
  newInstance,
  type RunOptions,
} from "../harness/instance.ts";

export interface Workbench extends AsyncDisposable {
  readonly davit: DavitInstance;
  /** The executable under its other name. */
  readonly program: string;
  /** Runs `davit buildah WORDS` to its end. */
  run(words: readonly string[], options?: RunOptions): Promise<Finished>;
  /** As `run`, which must succeed: its output without the last line feed. */
  output(...words: string[]): Promise<string>;
  /** Makes a directory of files: names to content; one that ends with a slash is a directory. */
  files(content: Record<string, string>): string;
}

/** @throws at dispose, when something of a removed container is still there */
export async function openWorkbench(): Promise<Workbench> {
  const davit = await newInstance();
  const program = join(davit.directory, "buildah");
  symlinkSync(davitBinary, program);
  return {
    davit,
    program,
    run: (words, options) => davit.run(["buildah", ...words], options),
    output: (...words) => davit.output(["buildah", ...words]),
    files: (content) => {
      const directory = mkdtempSync(join(davit.directory, "files-"));
      for (const [name, text] of Object.entries(content)) {
        const path = join(directory, name);
        mkdirSync(name.endsWith("/") ? path : dirname(path), { recursive: true });
        if (!name.endsWith("/")) writeFileSync(path, text);
      }
      return directory;
    },
    async [Symbol.asyncDispose]() {
      await davit.run(["buildah", "rm", "--all"]);
      await davit[Symbol.asyncDispose]();
      rmSync(davit.directory, { recursive: true, force: true });
    },
  };
}
