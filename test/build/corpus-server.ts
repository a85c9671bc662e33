/** What Dockerfiles of the corpus fetch: a web server with files and a git repository. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface CorpusServer extends AsyncDisposable {
  /** `http://127.0.0.1:40123` */
  readonly address: string;
}

const modified = "Fri, 02 Feb 2018 03:04:05 GMT";

/** @param archive what `/archive.tar` is */
export function startCorpusServer(archive: string): CorpusServer {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-server-"));
  makeRepository(directory);
  const headers = { "last-modified": modified };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname.startsWith("/repository.git/")) return gitAnswer(directory, request);
      if (pathname === "/file.txt") return new Response("file\n", { headers });
      if (pathname === "/") return new Response("root\n", { headers });
      if (pathname === "/plain") return new Response("without a time\n");
      if (pathname === "/archive.tar") return new Response(Bun.file(archive), { headers });
      if (pathname === "/named") {
        const disposition = { "content-disposition": 'attachment; filename="given.txt"' };
        return new Response("named\n", { headers: { ...headers, ...disposition } });
      }
      if (pathname === "/redirect/old.txt") return Response.redirect("/file.txt", 302);
      return new Response("not found", { status: 404 });
    },
  });
  return {
    address: `http://127.0.0.1:${server.port}`,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** `repository.git` with the branches `main` and `other`, the tag `v1`, and a submodule-less tree. */
function makeRepository(directory: string): void {
  const work = join(directory, "work");
  const time = "2019-05-06T07:08:09Z";
  const git = (...words: string[]) => {
    const done = Bun.spawnSync(["git", ...words], {
      cwd: work,
      env: {
        PATH: process.env.PATH ?? "",
        HOME: directory,
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_AUTHOR_NAME: "a",
        GIT_AUTHOR_EMAIL: "a@davit.test",
        GIT_AUTHOR_DATE: time,
        GIT_COMMITTER_NAME: "a",
        GIT_COMMITTER_EMAIL: "a@davit.test",
        GIT_COMMITTER_DATE: time,
      },
    });
    if (!done.success) throw new Error(`git ${words.join(" ")}: ${done.stderr.toString()}`);
  };
  mkdirSync(join(work, "sub", "deep"), { recursive: true });
  git("init", "--quiet", "--initial-branch=main");
  writeFileSync(join(work, "README"), "read me\n");
  writeFileSync(join(work, "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(work, "sub", "deep", "file"), "deep\n");
  git("add", ".");
  git("commit", "--quiet", "--message=one");
  git("tag", "--annotate", "--message=first", "v1");
  git("checkout", "--quiet", "-b", "other");
  writeFileSync(join(work, "README"), "other\n");
  git("commit", "--quiet", "--all", "--message=two");
  git("checkout", "--quiet", "main");
  git("clone", "--quiet", "--bare", work, join(directory, "repository.git"));
}

/** git's own CGI program. */
async function gitAnswer(directory: string, request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const child = Bun.spawn(["git", "http-backend"], {
    stdin: await request.bytes(),
    stderr: "ignore",
    env: {
      PATH: process.env.PATH ?? "",
      GIT_PROJECT_ROOT: directory,
      GIT_HTTP_EXPORT_ALL: "1",
      REQUEST_METHOD: request.method,
      PATH_INFO: pathname,
      QUERY_STRING: search.slice(1),
      CONTENT_TYPE: request.headers.get("content-type") ?? "",
      HTTP_CONTENT_ENCODING: request.headers.get("content-encoding") ?? "",
      GIT_PROTOCOL: request.headers.get("git-protocol") ?? "",
      REMOTE_ADDR: "127.0.0.1",
    },
  });
  const output = Buffer.from(await child.stdout.bytes());
  const end = output.indexOf("\r\n\r\n");
  const headers = new Headers();
  let status = 200;
  for (const line of output.subarray(0, end).toString().split("\r\n")) {
    const [name = "", value = ""] = line.split(": ");
    if (name === "Status") status = Number.parseInt(value, 10);
    else headers.set(name, value);
  }
  return new Response(output.subarray(end + 4), { status, headers });
}
