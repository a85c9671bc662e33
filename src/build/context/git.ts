/** Git repositories by the `git` program: fetched shallow, without hooks, prompts or the user's configuration. */

import { Unavailable } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import { rmSync } from "../../linux/files.ts";
import { setTimesAt } from "../../linux/nodes.ts";
import { walkTree } from "../../linux/walk.ts";
import { StepFailure } from "../steps/failure.ts";

export interface GitRequest {
  readonly remote: string;
  /** A branch, tag or commit; empty for the remote's own. */
  readonly ref: string;
  /** The commit that it must be, or the beginning of its name; empty for any. */
  readonly checksum: string;
  readonly keepGitDirectory: boolean;
  readonly submodules: boolean;
}

export interface GitOptions {
  /** PATH */
  readonly searchPath: string;
  /** Lines that git says. */
  readonly output?: (text: Uint8Array) => void;
  readonly signal: AbortSignal;
}

export interface CheckedOut {
  readonly commit: string;
  /** Of the commit; seconds since 1970. */
  readonly time: number;
}

/**
 * Checks a repository out into an empty directory.
 * @throws Unavailable without git; StepFailure with what git says
 */
export async function checkOut(
  request: GitRequest,
  directory: string,
  options: GitOptions,
): Promise<CheckedOut> {
  const git = (...words: string[]) => runGit(directory, words, options);
  await git("init", "--quiet");
  await git("remote", "add", "origin", "--", request.remote);
  const ref = request.ref || "HEAD";
  await fetchRef(git, ref);
  await git("-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", "FETCH_HEAD");
  const commit = (await git("rev-parse", "HEAD")).trim();
  if (request.checksum !== "" && !commit.startsWith(request.checksum)) {
    throw new StepFailure(`expected checksum to match ${request.checksum}, got ${commit}`);
  }
  const time = Number((await git("log", "-1", "--format=%ct")).trim());
  if (request.submodules) await git("submodule", "update", "--init", "--recursive", "--depth=1", "--quiet");
  if (!request.keepGitDirectory) rmSync(join(directory, ".git"), { recursive: true, force: true });
  giveTime(directory, BigInt(time) * 1_000_000_000n);
  return { commit, time };
}

/** When files were checked out says nothing about them: they get the commit's time. */
function giveTime(path: string, time: bigint): void {
  for (const node of walkTree(path)) setTimesAt(node.directory, node.name, time, time);
}

/** By name; where the server gives no single commits, everything is fetched and looked through. */
async function fetchRef(git: (...words: string[]) => Promise<string>, ref: string): Promise<void> {
  try {
    await git("fetch", "--quiet", "--depth=1", "--no-tags", "origin", "--", ref);
  } catch (error) {
    if (!/^[0-9a-f]{7,64}$/.test(ref)) throw error;
    await git("fetch", "--quiet", "--tags", "origin");
    await git("update-ref", "--no-deref", "FETCH_HEAD", `${ref}^{commit}`);
  }
}

async function runGit(directory: string, words: readonly string[], options: GitOptions): Promise<string> {
  const program = Bun.which("git", { PATH: options.searchPath });
  if (program === null)
    throw new Unavailable("git is not installed, which git sources need (apt-get install git)");
  const safe = [
    "-c",
    "protocol.ext.allow=never",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
  ];
  const child = Bun.spawn([program, ...safe, ...words], {
    cwd: directory,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    signal: options.signal,
    env: {
      PATH: options.searchPath,
      HOME: "/nonexistent",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_TERMINAL_PROMPT: "0",
      GIT_SSH_COMMAND: "ssh -F /dev/null -o StrictHostKeyChecking=accept-new",
      LC_ALL: "C",
    },
  });
  const [exitCode, stdout, stderr] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).bytes(),
  ]);
  options.signal.throwIfAborted();
  if (stderr.byteLength > 0) options.output?.(stderr);
  if (exitCode === 0) return stdout;
  const said = Buffer.from(stderr).toString("utf8").trim();
  throw new StepFailure(
    `failed to fetch remote ${words.includes("fetch") ? "repository" : ""}: git ${words[0]}: ${said}`,
  );
}
