/** Real BuildKit (oracle/buildkit): builds Dockerfiles as davit does, to be compared with. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { buildGoProgram } from "./go-programs.ts";

export interface BuildKitRequest {
  /** Directory with the Dockerfile. */
  readonly context: string;
  readonly buildArguments?: Readonly<Record<string, string>>;
  readonly target?: string;
  readonly secrets?: Readonly<Record<string, string>>;
  /** The agent's socket. */
  readonly ssh?: string;
  readonly entitlements?: readonly string[];
  /** All times become SOURCE_DATE_EPOCH, where they are later. */
  readonly rewritesTimes?: boolean;
}

/** Files instead of an image. */
export interface BuildKitExport {
  readonly context: string;
  /** Of the front end: `attest:provenance`, `platform`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly kind: "local" | "tar";
  /** Of the exporter: `platform-split`. */
  readonly options: Readonly<Record<string, string>>;
  /** The directory, or the archive. */
  readonly output: string;
}

export interface BuildKit extends AsyncDisposable {
  /** @returns the image as an OCI archive. @throws Error with what BuildKit says */
  build(request: BuildKitRequest): Promise<Uint8Array>;
  /** @throws Error with what BuildKit says */
  export(request: BuildKitExport): Promise<void>;
}

const supervisor = join(import.meta.dir, "..", "harness", "daemon-supervisor.sh");

/** The program, or why there can be none here. */
export function buildBuildKit(): { program: string } | { missing: string } {
  if (process.getuid?.() !== 0) return { missing: "not root" };
  const absent = ["runc", "unshare"].filter((name) => Bun.which(name) === null);
  if (absent.length > 0) return { missing: `not installed: ${absent.join(", ")}` };
  return buildGoProgram("buildkit", "buildkit");
}

/**
 * Starts it with a root of its own, in its own mount and PID namespaces; RUN steps share our network.
 * @param registry `host:port` that stands for Docker Hub
 */
export function startBuildKit(program: string, registry: string): BuildKit {
  const root = mkdtempSync(join(tmpdir(), "davit-test-buildkit-"));
  const child = Bun.spawn(["setsid", "sh", supervisor, root, `/${basename(root)}`, program, root, registry], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const waiting = new Map<number, { resolve(): void; reject(error: Error): void }>();
  const ended = readLines(child.stdout, (line) => {
    const answer: { ID: number; Error?: string } = JSON.parse(line);
    const asked = waiting.get(answer.ID);
    waiting.delete(answer.ID);
    if (answer.Error === undefined) asked?.resolve();
    else asked?.reject(new Error(answer.Error));
  }).then(() => {
    for (const { reject } of waiting.values()) reject(new Error("BuildKit has ended"));
  });
  let count = 0;
  const ask = async (id: number, line: object): Promise<void> => {
    const answered = new Promise<void>((resolve, reject) => {
      waiting.set(id, { resolve, reject });
    });
    child.stdin.write(`${JSON.stringify({ ID: id, ...line })}\n`);
    await child.stdin.flush();
    await answered;
  };
  return {
    async build(request) {
      count += 1;
      const output = join(root, `image-${count}.tar`);
      await ask(count, asLine(output, request));
      const archive = readFileSync(output);
      rmSync(output);
      return archive;
    },
    export({ context, attributes, kind, options, output }) {
      count += 1;
      return ask(count, {
        Context: context,
        Attrs: attributes,
        Exporter: kind,
        Export: options,
        Output: output,
      });
    },
    async [Symbol.asyncDispose]() {
      await child.stdin.end();
      await ended;
      if ((await child.exited) !== 0) throw new Error(`BuildKit in ${root} was not taken down cleanly`);
    },
  };
}

function asLine(output: string, request: BuildKitRequest) {
  const { context, buildArguments = {}, target, secrets = {}, ssh, entitlements = [] } = request;
  const given = Object.entries(buildArguments).map(([name, value]) => [`build-arg:${name}`, value]);
  return {
    Context: context,
    Attrs: { ...Object.fromEntries(given), ...(target === undefined ? {} : { target }) },
    Export: {
      compression: "uncompressed",
      ...(request.rewritesTimes ? { "rewrite-timestamp": "true" } : {}),
    },
    Secrets: Object.fromEntries(
      Object.entries(secrets).map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
    ),
    SSH: ssh === undefined ? {} : { default: ssh },
    Entitlements: entitlements,
    Output: output,
  };
}

async function readLines(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  }
}
