/**
 * bzip2 and xz, which neither Bun nor a well-kept library undoes: by the machine's own programs, as BuildKit does for
 * xz. What they read is hostile: they run as nobody, may gain no rights, and have bounded memory. How much may come
 * out is for the reader to say.
 */

import { hasErrno, InvalidParameter, Unavailable } from "../../core/errors.ts";
import { closeSync, openSync } from "../../linux/files.ts";
import { chunksOf, isFileRange } from "./byte-source.ts";
import type { ByteSource } from "./tar-entry.ts";

export type ProgramCompression = "bzip2" | "xz";

const programs: Record<ProgramCompression, { readonly package: string; readonly flags: readonly string[] }> =
  {
    bzip2: { package: "bzip2", flags: ["-dcq"] },
    // What the highest preset takes is 65 MiB; a header may ask for 4 GiB.
    xz: { package: "xz-utils", flags: ["-dcq", "--memlimit-decompress=512MiB"] },
  };

/** util-linux's: present wherever these programs are. */
const withoutRights = [
  "--reuid=65534",
  "--regid=65534",
  "--clear-groups",
  "--no-new-privs",
  "--inh-caps=-all",
];

/**
 * @param options.searchPath PATH
 * @throws Unavailable when there is no such program here; InvalidParameter when the data is damaged
 */
export async function* decompressWithProgram(
  compression: ProgramCompression,
  source: ByteSource,
  options: { readonly searchPath: string; readonly signal?: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const { signal, searchPath: PATH } = options;
  const { package: name, flags } = programs[compression];
  const program = Bun.which(compression, { PATH });
  if (program === null) {
    throw new Unavailable(
      `${compression} is not installed, which this archive needs (apt-get install ${name})`,
    );
  }
  const guard = process.getuid?.() === 0 ? Bun.which("setpriv", { PATH }) : null;
  const command = guard === null ? [program, ...flags] : [guard, ...withoutRights, "--", program, ...flags];
  const input = openInput(source);
  const child = Bun.spawn(command, {
    stdin: input ?? "pipe",
    stdout: "pipe",
    stderr: "pipe",
    cwd: "/",
    env: {},
    ...(signal === undefined ? {} : { signal, killSignal: "SIGKILL" as const }),
  });
  if (input !== undefined) closeSync(input);
  const said = new Response(child.stderr).text();
  const feeding = input === undefined ? feed(source, child.stdin, signal) : Promise.resolve();
  // Whoever reads hears of it below, or has stopped reading.
  feeding.catch(() => undefined);
  let isRead = false;
  try {
    for await (const chunk of child.stdout) yield chunk;
    isRead = true;
  } finally {
    if (!isRead) child.kill("SIGKILL");
    await child.exited;
  }
  signal?.throwIfAborted();
  await feeding;
  if (child.exitCode === 0) return;
  const reason = (await said).trim().replaceAll(/^.*?: (?:\(stdin\): )?/gm, "");
  throw new InvalidParameter(`${compression}: the data is damaged: ${reason.slice(0, 500)}`);
}

/** A whole local file can be given as it is. */
function openInput(source: ByteSource): number | undefined {
  const isWhole = isFileRange(source) && source.offset === undefined && source.length === undefined;
  return isWhole ? openSync(source.path, "r") : undefined;
}

type Pipe = { write(bytes: Uint8Array): unknown; flush(): unknown; end(): unknown };

async function feed(
  source: ByteSource,
  pipe: Pipe | number | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (pipe === undefined || typeof pipe === "number") return;
  try {
    for await (const chunk of chunksOf(source, signal)) {
      pipe.write(chunk);
      await pipe.flush();
    }
    await pipe.end();
  } catch (error) {
    // The program has ended early: what it says of that is what counts.
    if (!hasErrno(error, "EPIPE")) throw error;
  }
}
