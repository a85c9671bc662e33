/** A place to build in: an instance of its own, contexts made from literals, and looks at what came out. */
import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BuildEvent, BuildRequest, BuildResult } from "../../src/engine/build.ts";
import { buildsOf } from "../../src/engine/build.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";

/** Content; or a mode with content, or a link. A name that ends with a slash is a directory. */
export type Files = Record<string, string | { mode: number; content: string } | { link: string }>;

export interface Built {
  readonly events: readonly BuildEvent[];
  readonly result: BuildResult | undefined;
  readonly error: unknown;
  /** Names of vertices that came from the cache. */
  readonly cached: readonly string[];
  /** Names of vertices that were run. */
  readonly ran: readonly string[];
  /** Everything that steps have written. */
  readonly output: string;
}

export interface Workshop extends AsyncDisposable {
  readonly davit: DavitInstance;
  readonly engine: Engine;
  /** Makes a context directory. */
  context(files: Files): string;
  /** Builds a context; does not throw. */
  tryBuild(files: Files | string, request?: Partial<BuildRequest>): Promise<Built>;
  /** Builds a context, which must succeed. */
  build(files: Files | string, request?: Partial<BuildRequest>): Promise<Built & { result: BuildResult }>;
  /** What a program in a container of the image writes. */
  run(image: string, ...command: string[]): Promise<string>;
}

export async function openWorkshop(): Promise<Workshop> {
  const davit = await newInstance();
  const engine = await davit.engine();
  const workshop: Workshop = {
    davit,
    engine,
    context: (files) => makeContext(davit.directory, files),
    tryBuild: (files, request = {}) =>
      follow(engine, typeof files === "string" ? files : makeContext(davit.directory, files), request),
    build: async (files, request) => {
      const built = await workshop.tryBuild(files, request);
      if (built.error !== undefined) throw built.error;
      const { result } = built;
      return { ...built, result: result ?? { imageId: "", manifestDigest: "", names: [], images: [] } };
    },
    run: (image, ...command) => davit.output(["run", "--rm", "--network", "none", image, ...command]),
    [Symbol.asyncDispose]: () => davit[Symbol.asyncDispose](),
  };
  return workshop;
}

function makeContext(directory: string, files: Files): string {
  const path = mkdtempSync(join(directory, "context-"));
  for (const [name, content] of Object.entries(files)) {
    const file = join(path, name);
    mkdirSync(name.endsWith("/") ? file : dirname(file), { recursive: true });
    if (name.endsWith("/")) continue;
    if (typeof content === "string") writeFileSync(file, content);
    else if ("link" in content) symlinkSync(content.link, file);
    else {
      writeFileSync(file, content.content);
      chmodSync(file, content.mode);
    }
  }
  return path;
}

async function follow(engine: Engine, path: string, request: Partial<BuildRequest>): Promise<Built> {
  const events: BuildEvent[] = [];
  let error: unknown;
  try {
    const whole: BuildRequest = {
      context: { kind: "directory", path },
      dockerfile: { kind: "in-context", path: "Dockerfile" },
      outputs: [{ kind: "store" }],
      ...request,
    };
    for await (const event of buildsOf(engine).build(whole)) events.push(event);
  } catch (thrown) {
    error = thrown;
  }
  const names = new Map(
    events.flatMap((event) => (event.kind === "vertex" ? [[event.vertex, event.name]] : [])),
  );
  const named = (kind: "cached" | "started") =>
    events.flatMap((event) => (event.kind === kind ? [names.get(event.vertex) ?? ""] : []));
  return {
    events,
    error,
    result: events.flatMap((event) => (event.kind === "result" ? [event.result] : []))[0],
    cached: named("cached"),
    ran: named("started"),
    output: events
      .flatMap((event) => (event.kind === "log" ? [Buffer.from(event.data).toString("utf8")] : []))
      .join(""),
  };
}
