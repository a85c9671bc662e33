/**
 * An Engine API that answers reading requests from a table, for comparing how two command lines show the same
 * answers where no engine at hand is new enough to give them.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface AnsweringServer extends Disposable {
  /** For -H. */
  readonly host: string;
  /** Method, path and query of each request, without the version. */
  readonly requests: readonly string[];
}

/** @param answers by path without the version and query: a body for JSON, or lines for a stream */
export function answeringServer(
  apiVersion: string,
  answers: Readonly<Record<string, object | readonly object[] | string>>,
): AnsweringServer {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-answers-"));
  const path = join(directory, "server.sock");
  const requests: string[] = [];
  const server = Bun.serve({
    unix: path,
    fetch(request) {
      const url = new URL(request.url);
      const route = url.pathname.replace(/^\/v\d+\.\d+/, "");
      const headers = {
        "API-Version": apiVersion,
        OSType: "linux",
        "Content-Type": "application/json",
      };
      if (route === "/_ping") return new Response("OK", { headers });
      requests.push(`${request.method} ${decodeURIComponent(route + url.search)}`);
      const answer = answers[route];
      if (answer === undefined) {
        return Response.json({ message: `no answer for ${route}` }, { status: 404, headers });
      }
      return typeof answer === "string"
        ? new Response(answer, { headers })
        : Response.json(answer, { headers });
    },
  });
  return {
    host: `unix://${path}`,
    requests,
    [Symbol.dispose]() {
      void server.stop(true);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
