/** Contexts that are no directory of the user's: unpacked or fetched into one of our own, which goes afterwards. */
import { InvalidParameter } from "../../core/errors.ts";
import { applyLayer } from "../../images/layers/apply.ts";
import { closeFile, openDirectory, openFlag, openInRoot } from "../../linux/paths.ts";
import { parseGitReference } from "../dockerfile/stages/git-source.ts";
import { checkOut } from "./git.ts";
import { gitMaterial, type Material } from "./material.ts";
import type { OpenContext } from "./open.ts";
import { type OwnDirectory, ownDirectory } from "./own-directory.ts";

/** @param below of the directory, resolved inside it. */
function asContext(directory: OwnDirectory, below = ".", material?: Material): OpenContext {
  const top = openDirectory(directory.path);
  try {
    const root = openInRoot(top, below || ".", openFlag.readOnly | openFlag.directory);
    return {
      root,
      ...(material === undefined ? {} : { material }),
      [Symbol.dispose]: () => {
        closeFile(root);
        directory[Symbol.dispose]();
      },
    };
  } finally {
    closeFile(top);
  }
}

export function emptyContext(dataRoot: string): OpenContext {
  return asContext(ownDirectory(dataRoot));
}

/** A tar, plain or compressed. @throws InvalidParameter when it is damaged, or reaches outside */
export async function tarContext(
  dataRoot: string,
  stream: AsyncIterable<Uint8Array>,
  options: { readonly searchPath: string; readonly signal: AbortSignal },
): Promise<OpenContext> {
  using stack = new DisposableStack();
  const directory = stack.use(ownDirectory(dataRoot));
  await applyLayer(stream, { path: directory.path, whiteouts: "delete" }, options);
  const context = asContext(directory);
  stack.move();
  return context;
}

/** `https://host/repo.git#ref:directory`. @throws InvalidParameter, StepFailure */
export async function gitContext(
  dataRoot: string,
  url: string,
  options: { readonly searchPath: string; readonly signal: AbortSignal },
): Promise<OpenContext> {
  const reference = parseGitReference(url.startsWith("github.com/") ? `https://${url}` : url);
  if (reference === undefined) throw new InvalidParameter(`not a git repository: ${url}`);
  using stack = new DisposableStack();
  const directory = stack.use(ownDirectory(dataRoot));
  const { remote, ref, checksum } = reference;
  const { commit } = await checkOut(
    {
      remote,
      ref,
      checksum,
      keepGitDirectory: reference.keepGitDirectory ?? false,
      submodules: reference.submodules ?? true,
    },
    directory.path,
    options,
  );
  const context = asContext(directory, reference.subdirectory, gitMaterial(reference, commit));
  stack.move();
  return context;
}
