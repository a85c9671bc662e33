/**
 * `unshare`: Buildah's way to let users without rights see the files of their containers, in a user namespace. Whoever
 * runs davit has the rights: the command is run as it is, with the variables that it would find there.
 */
import { hasErrno, messageOf } from "../../core/errors.ts";
import { type WorkingContainers, workingContainersOf } from "../../engine/working.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { asBuildah, failure, readingContainer } from "./failures.ts";

export const unshare: Command = {
  synopsis: "[OPTIONS] [--] [COMMAND [ARG...]]",
  summary: "Run a command as it would run in a user namespace of Buildah's",
  description:
    "Run a command, or $SHELL, with the rights that you have: scripts that need 'buildah unshare' to see the files of\n" +
    "containers run here as well. No namespace is made.",
  count: { least: 0 },
  flagsEndAtFirstWord: true,
  examples: ["buildah unshare ./build.sh", "buildah unshare --mount ROOT=site -- sh -c 'ls $ROOT'"],
  define(flags) {
    const mount = flags.list("mount", "Mount the container meanwhile; its path is in the variable", {
      short: "m",
      kind: "[VARIABLE=]CONTAINER",
    });
    return asBuildah(async ({ args, io, engine }) => {
      const command = args[0] === "--" ? args.slice(1) : args;
      const words = command.length === 0 ? shellOf(io) : [...command];
      if (mount.value.length === 0) return await runHere(io, words, {});
      const working = workingContainersOf(await engine());
      await using mounted = await mountAll(working, mount.value);
      return await runHere(io, words, mounted.variables);
    });
  },
};

function shellOf({ env }: Io): string[] {
  if (!env.SHELL) throw failure("no command specified");
  return [env.SHELL];
}

type Mounted = { readonly variables: Record<string, string> } & AsyncDisposable;

/** Those that were mounted before stay so. */
async function mountAll(working: WorkingContainers, given: readonly string[]): Promise<Mounted> {
  await using stack = new AsyncDisposableStack();
  const before = await working.mounted();
  const variables: Record<string, string> = {};
  for (const text of given) {
    const equals = text.indexOf("=");
    const container = text.slice(equals + 1);
    const path = await readingContainer(container, () => working.mount(container));
    variables[equals < 0 ? text : text.slice(0, equals)] = path;
    if (before.some((other) => other.path === path)) continue;
    stack.defer(async () => void (await working.unmount(container)));
  }
  const kept = stack.move();
  return { variables, [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose]() };
}

/** @returns its exit status; 128 + n after signal n */
async function runHere(io: Io, words: string[], variables: Record<string, string>): Promise<number> {
  // Whether a namespace was made already, which programs of Buildah's kind look for: empty says no.
  const env = { ...io.env, ...variables, _CONTAINERS_USERNS_CONFIGURED: "" };
  const streams = { stdin: "inherit", stdout: "inherit", stderr: "inherit" } as const;
  let child: Bun.Subprocess;
  try {
    child = Bun.spawn(words, { ...streams, cwd: io.cwd, env });
  } catch (error) {
    const isKnown = hasErrno(error, "ENOENT") || hasErrno(error, "EACCES") || hasErrno(error, "ENOEXEC");
    if (!isKnown) throw error;
    await io.stderr.write(`Error: ${messageOf(error)}\n`);
    return 1;
  }
  // A terminal's own signals reach the command by themselves; davit stays to unmount.
  const stop = io.onSignal(["SIGINT", "SIGTERM", "SIGHUP"], (signal) => {
    if (signal === "SIGTERM") child.kill("SIGTERM");
    if (signal === "SIGHUP") child.kill("SIGHUP");
  });
  try {
    return await child.exited;
  } finally {
    stop();
  }
}
