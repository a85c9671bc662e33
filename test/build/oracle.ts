/**
 * BuildKit's own Dockerfile packages as the oracle: a small Go program (oracle/main.go), built once through the Go
 * module proxy, and asked line by line.
 */
import { buildGoProgram } from "./go-programs.ts";

export type Answer = Record<string, unknown>;

export interface Oracle extends AsyncDisposable {
  ask(request: Record<string, unknown>): Promise<Answer>;
}

/** The built program, or why there is none. */
export function buildOracle(): { program: string } | { missing: string } {
  return buildGoProgram("dockerfile-oracle", ".");
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
