/** What the tests of the builder's front end share. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Linter } from "../../src/build/dockerfile/checks/linter.ts";
import { DockerfileError } from "../../src/build/dockerfile/errors.ts";
import { type AnalyseOptions, analyse } from "../../src/build/dockerfile/stages/analyse.ts";
import type { BaseImage, BuildPlan } from "../../src/build/dockerfile/stages/model.ts";
import type { BuildWarning } from "../../src/build/events.ts";
import { warningsOf } from "../../src/build/prepare.ts";

const corpus = join(import.meta.dir, "corpus");

export interface CorpusFile {
  readonly name: string;
  readonly text: string;
}

/** The Dockerfiles of the corpus. */
export function corpusFiles(): CorpusFile[] {
  return readdirSync(corpus, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ name, text: readFileSync(join(corpus, name, "Dockerfile"), "utf8") }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

export const amd64 = { os: "linux", architecture: "amd64" };

/** An image without anything in its config. */
export function plainImage(reference: string): BaseImage {
  return { reference, platform: amd64, config: {}, history: [] };
}

export type Analysis =
  | { plan: BuildPlan; linter: Linter | undefined; images: string[] }
  | { error: DockerfileError; linter: Linter | undefined; images: string[] };

/** The findings as a build tells of them. */
export function warningsIn(text: string, linter: Linter | undefined): BuildWarning[] {
  const warnings = linter?.warnings ?? [];
  return warningsOf({ warnings, unusedArguments: [] }, { name: "Dockerfile", text, ignore: undefined });
}

/** Analyses for linux/amd64; all images are plain unless `images` has them. */
export async function analysed(
  text: string,
  options: Partial<AnalyseOptions> = {},
  images: Readonly<Record<string, BaseImage>> = {},
): Promise<Analysis> {
  let linter: Linter | undefined;
  const asked = new Set<string>();
  const result = () => ({ linter, images: [...asked].sort() });
  try {
    const plan = await analyse(text, {
      platform: amd64,
      resolveImage: async (name) => {
        asked.add(name);
        return images[name] ?? plainImage(name);
      },
      onLinter: (made) => {
        linter = made;
      },
      ...options,
    });
    return { plan, ...result() };
  } catch (error) {
    if (error instanceof DockerfileError) return { error, ...result() };
    throw error;
  }
}

/** As above, for files without an error. */
export async function planned(
  text: string,
  options: Partial<AnalyseOptions> = {},
  images: Readonly<Record<string, BaseImage>> = {},
): Promise<BuildPlan> {
  const analysis = await analysed(text, options, images);
  if ("error" in analysis) throw analysis.error;
  return analysis.plan;
}
