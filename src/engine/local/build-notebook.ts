/** Which builds are builds of the same, for `davit build --explain`. */
import { Notebook } from "../../build/explain/notebook.ts";
import { keyOf } from "../../build/solver/keys.ts";
import type { State } from "../../state/state.ts";
import type { BuildRequest } from "../build.ts";

export function openNotebook(state: State, request: BuildRequest): Notebook {
  return new Notebook(state, {
    line: lineOf(request),
    isArgument: (name) => Object.hasOwn(request.buildArguments ?? {}, name),
    isExplaining: request.explain === true,
  });
}

/** A tar has no name of its own: then the names tell builds apart. */
function lineOf({ context, dockerfile, target = "", names = [] }: BuildRequest): string {
  const name = "path" in context ? context.path : "url" in context ? context.url : names.join(" ");
  const file = dockerfile.kind === "text" ? dockerfile.name : dockerfile.path;
  return keyOf([context.kind, name, file, target]);
}
