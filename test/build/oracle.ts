/**
 * BuildKit's own Dockerfile packages as the oracle: a small Go program (oracle/main.go), built once through the Go
 * module proxy into the user's cache, and asked line by line.
 */
import { mkdirSync, readFileSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const sources = join(import.meta.dir, "oracle");

export type Answer = Record<string, unknown>;

export interface Oracle extends AsyncDisposable {
  ask(request: Record<string, unknown>): Promise<Answer>;
}

/** The built program, or why there is none. Building it for the first time takes minutes. */
export function buildOracle(): { program: string } | { missing: string } {
  const go = Bun.which("go");
  if (go === null) return { missing: "Go is not installed" };
  const hash = new Bun.CryptoHasher("sha256");
  for (const file of ["main.go", "go.mod", "go.sum"]) hash.update(readFileSync(join(sources, file)));
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "davit-test");
  const program = join(cache, `dockerfile-oracle-${hash.digest("hex").slice(0, 16)}`);
  if (Bun.spawnSync(["test", "-x", program]).success) return { program };
  mkdirSync(cache, { recursive: true });
  const unfinished = `${program}.${process.pid}`;
  const built = Bun.spawnSync(["nice", go, "build", "-buildvcs=false", "-o", unfinished, "."], {
    cwd: sources,
  });
  if (!built.success) {
    const [fault = ""] = built.stderr.toString().trim().split("\n").slice(-1);
    return { missing: `the oracle cannot be built: ${fault}` };
  }
  renameSync(unfinished, program);
  return { program };
}

export function startOracle(program: string): Oracle {
  const child = Bun.spawn([program], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  const readLine = async () => {
    for (;;) {
      const end = rest.indexOf("\n");
      if (end >= 0) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 1);
        return line;
      }
      const { value, done } = await reader.read();
      if (done) throw new Error("the oracle has ended");
      rest += decoder.decode(value, { stream: true });
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  return {
    ask(request) {
      const answer = last.then(async () => {
        child.stdin.write(`${JSON.stringify(request)}\n`);
        await child.stdin.flush();
        const parsed: unknown = JSON.parse(await readLine());
        if (typeof parsed !== "object" || parsed === null) throw new Error("the oracle did not answer");
        return Object.fromEntries(Object.entries(parsed));
      });
      last = answer.catch(() => undefined);
      return answer;
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await child.exited;
    },
  };
}
