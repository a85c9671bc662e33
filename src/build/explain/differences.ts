/** What of a step's inputs is another than when it was last built, in words. */
import { differenceOfFiles } from "./files.ts";
import type { RootFacts, StepInputs } from "./inputs.ts";

export interface Difference {
  /** Of the step itself, or of an image. */
  readonly own: readonly string[];
  /** What it stands on, or takes files from, was not the same: names of these roots. */
  readonly inherited: readonly string[];
}

/** @param isArgument tells build arguments from other variables */
export function differenceOf(
  before: StepInputs,
  now: StepInputs,
  isArgument: (name: string) => boolean,
): Difference {
  const own: string[] = [];
  const inherited: string[] = [];
  for (const name of namesThatDiffer(before.definition, now.definition)) own.push(`${name}: changed`);
  own.push(...variables(before, now, isArgument));
  const files =
    before.files === undefined || now.files === undefined
      ? undefined
      : differenceOfFiles(before.files, now.files);
  if (files !== undefined) own.push(files);
  const roots: [RootFacts | undefined, RootFacts][] = [[before.input, now.input]];
  // Where files were compared, what they come from says no more.
  if (now.files === undefined || before.files === undefined) {
    for (const [what, root] of Object.entries(now.from)) roots.push([before.from[what], root]);
  }
  for (const [earlier, root] of roots) {
    if (earlier?.key === root.key) continue;
    if (!root.isImage) inherited.push(root.name);
    else if (earlier === undefined || earlier.name === root.name)
      own.push(`image ${root.name} is another one now`);
    else own.push(`image ${root.name} takes the place of ${earlier.isImage ? earlier.name : "a stage"}`);
  }
  return { own, inherited };
}

function variables(before: StepInputs, now: StepInputs, isArgument: (name: string) => boolean): string[] {
  return namesThatDiffer(before.variables, now.variables).map((name) => {
    const what = `${isArgument(name) ? "build argument" : "variable"} ${name}`;
    if (!Object.hasOwn(before.variables, name)) return `${what} is new`;
    return Object.hasOwn(now.variables, name) ? `${what} has changed` : `${what} is gone`;
  });
}

function namesThatDiffer(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): string[] {
  const names = new Set([...Object.keys(now), ...Object.keys(before)]);
  return [...names].filter((name) => before[name] !== now[name]);
}
