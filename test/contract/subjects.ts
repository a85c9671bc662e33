/**
 * The engines that the contract suite runs against, and the few verbs that its cases are written in. Every case is
 * written once, against the Engine interface; real Docker is the oracle: what it does is right by definition, except
 * where a case says that a newer Docker says it in other words.
 */
import { afterAll, beforeAll, describe } from "bun:test";
import { DavitError, type ErrorKind } from "../../src/core/errors.ts";
import type * as api from "../../src/core/objects.ts";
import type { ByteStream, Engine, OutputFrame, ProgressMessage } from "../../src/engine/engine.ts";
import { missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { eventually } from "../harness/eventually.ts";
import { busyboxImage } from "../harness/images.ts";

export type SubjectName = "davit" | "docker";

interface Session extends AsyncDisposable {
  engine: Engine;
}

interface Candidate {
  name: SubjectName;
  /** Why it cannot be tested on this machine. */
  missing: string | undefined;
  open(): Promise<Session>;
}

const candidates: readonly Candidate[] = [
  {
    name: "davit",
    missing: undefined,
    async open() {
      const { newInstance } = await import("../harness/instance.ts");
      const instance = await newInstance();
      return {
        engine: await instance.engine(),
        [Symbol.asyncDispose]: () => instance[Symbol.asyncDispose](),
      };
    },
  },
  {
    name: "docker",
    missing: missingForDockerd(),
    async open() {
      const dockerd = await startDockerd();
      return { engine: await dockerd.engine(), [Symbol.asyncDispose]: () => dockerd[Symbol.asyncDispose]() };
    },
  },
];

/** Long enough for a dockerd on a busy machine to come up. */
const setupTimeout = 90_000;
/** A case that waits for Docker's slower moments (a stop, a restart back-off). */
export const caseTimeout = 60_000;

/** DAVIT_CONTRACT=davit or docker runs one of them only. */
const chosen = process.env.DAVIT_CONTRACT;

/** Runs the cases of one topic against every engine, each in a fresh instance of its own for the topic. */
export function contract(topic: string, cases: (subject: Subject) => void): void {
  for (const candidate of candidates) {
    if (chosen !== undefined && chosen !== candidate.name) continue;
    const title = `${topic} (${candidate.name})`;
    if (candidate.missing !== undefined) {
      console.error(`SKIPPED: ${title}: ${candidate.missing}`);
      describe.skip(title, () => cases(new Subject(candidate.name)));
      continue;
    }
    describe(title, () => {
      const subject = new Subject(candidate.name);
      let session: Session | undefined;
      beforeAll(async () => {
        session = await candidate.open();
        subject.use(session.engine);
      }, setupTimeout);
      afterAll(async () => {
        await session?.[Symbol.asyncDispose]();
      }, setupTimeout);
      cases(subject);
    });
  }
}

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** A container that goes with the block that made it. */
export interface OwnedContainer extends AsyncDisposable {
  readonly id: string;
  readonly warnings: string[];
}

let lastName = 0;

/** A name that no other case uses. */
export function uniqueName(prefix = "case"): string {
  lastName += 1;
  return `${prefix}-${process.pid}-${lastName}`;
}

export type CreateRequest = Partial<api.ContainerCreateRequest> & { name?: string };

/** An engine, and what the cases do with it again and again. */
export class Subject {
  readonly name: SubjectName;
  #engine: Engine | undefined;

  constructor(name: SubjectName) {
    this.name = name;
  }

  use(engine: Engine): void {
    this.#engine = engine;
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new Error("the engine is opened by beforeAll");
    return this.#engine;
  }

  /** Makes a container of the busybox image, to be removed with the block. */
  async create(request: CreateRequest = {}): Promise<OwnedContainer> {
    const { name, ...body } = request;
    const { containers } = this.engine;
    const created = await containers.create(
      { Image: busyboxImage, ...body },
      name === undefined ? {} : { name },
    );
    return {
      id: created.Id,
      warnings: created.Warnings,
      async [Symbol.asyncDispose]() {
        await containers.remove(created.Id, { force: true, volumes: true }).catch((error: unknown) => {
          // A case may have removed it itself, or asked for it to remove itself.
          if (!(error instanceof DavitError && ["notFound", "conflict"].includes(error.kind))) throw error;
        });
      },
    };
  }

  /** Makes and starts a container. */
  async start(command: string[], request: CreateRequest = {}): Promise<OwnedContainer> {
    const container = await this.create({ Cmd: command, ...request });
    try {
      await this.engine.containers.start(container.id);
    } catch (error) {
      await container[Symbol.asyncDispose]();
      throw error;
    }
    return container;
  }

  /** Runs a command to its end in a container of its own, as `docker run --rm -i` would. */
  async run(command: string[], request: CreateRequest = {}, stdin?: string): Promise<Outcome> {
    await using container = await this.create({
      Cmd: command,
      AttachStdout: true,
      AttachStderr: true,
      ...(stdin === undefined ? {} : { OpenStdin: true, StdinOnce: true, AttachStdin: true }),
      ...request,
    });
    const { containers } = this.engine;
    const streams = await containers.attach(container.id, {
      stdout: true,
      stderr: true,
      stdin: stdin !== undefined,
      stream: true,
    });
    const wait = await containers.wait(container.id, "next-exit");
    await containers.start(container.id);
    if (stdin !== undefined) {
      await streams.write(Buffer.from(stdin));
      await streams.closeInput();
    }
    const output = await collect(streams.output);
    return { code: (await wait.result).StatusCode, ...output };
  }

  /** Runs `sh -c script` and gives what it printed, without the last line feed. It must succeed. */
  async shell(script: string, request: CreateRequest = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(["sh", "-c", script], request);
    if (code !== 0) throw new Error(`exit code ${code}: ${script}\n${stdout}${stderr}`);
    return stdout.replace(/\n$/, "");
  }

  /** Runs a command in a running container. */
  async exec(
    id: string,
    command: string[],
    config: Partial<api.ExecConfig> = {},
    stdin?: string,
  ): Promise<Outcome> {
    const { execs } = this.engine;
    const { Id } = await execs.create(id, {
      Cmd: command,
      AttachStdout: true,
      AttachStderr: true,
      ...(stdin === undefined ? {} : { AttachStdin: true }),
      ...config,
    });
    const streams = await execs.start(Id, { tty: config.Tty ?? false, stdin: stdin !== undefined });
    if (stdin !== undefined) {
      await streams.write(Buffer.from(stdin));
      await streams.closeInput();
    }
    const output = await collect(streams.output);
    const code = await eventually(async () => (await execs.inspect(Id)).ExitCode ?? undefined);
    return { code, ...output };
  }

  /** Waits until the container has ended and gives its exit code. */
  async exitCodeOf(id: string): Promise<number> {
    const wait = await this.engine.containers.wait(id, "not-running");
    return (await wait.result).StatusCode;
  }

  /** The container's log as text. */
  async logsOf(id: string): Promise<Omit<Outcome, "code">> {
    return collect(this.engine.containers.logs(id, { stdout: true, stderr: true }));
  }
}

/** Reads streams to their end. */
export async function collect(
  frames: AsyncIterable<OutputFrame>,
): Promise<{ stdout: string; stderr: string }> {
  const chunks: Record<OutputFrame["stream"], Uint8Array[]> = { stdout: [], stderr: [] };
  for await (const { stream, data } of frames) chunks[stream].push(data);
  const text = (stream: OutputFrame["stream"]): string => Buffer.concat(chunks[stream]).toString("utf8");
  return { stdout: text("stdout"), stderr: text("stderr") };
}

/** Reads output until `text` has come; the rest stays unread. */
export async function readUntil(iterator: AsyncIterator<OutputFrame>, text: string): Promise<string> {
  let seen = "";
  while (!seen.includes(text)) {
    const { done, value } = await iterator.next();
    if (done === true)
      throw new Error(`the output ended without ${JSON.stringify(text)}: ${JSON.stringify(seen)}`);
    seen += Buffer.from(value.data).toString("utf8");
  }
  return seen;
}

export async function bytesOf(stream: ByteStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function messagesOf(stream: AsyncIterable<ProgressMessage>): Promise<ProgressMessage[]> {
  const messages: ProgressMessage[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

/** The failure that `work` ends in. @throws when it succeeds, or fails with something unforeseen. */
export async function failureOf(work: Promise<unknown>): Promise<DavitError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof DavitError) return error;
    throw error;
  }
  throw new Error("it succeeded");
}

export { eventually, until } from "../harness/eventually.ts";

/** What Docker 20.10 says where Docker 28 says it differently. */
export interface OlderWords {
  kind?: ErrorKind;
  words?: string | RegExp;
}

/** Checks that `work` fails with this kind and these words, or as the older Docker does. */
export async function expectFailure(
  work: Promise<unknown>,
  kind: ErrorKind,
  words: string | RegExp,
  older: OlderWords | string | RegExp = {},
): Promise<DavitError> {
  const failure = await failureOf(work);
  const says = (expectedKind: ErrorKind, expected: string | RegExp): boolean =>
    failure.kind === expectedKind &&
    (typeof expected === "string" ? failure.message === expected : expected.test(failure.message));
  const alternative: OlderWords =
    typeof older === "string" || older instanceof RegExp ? { words: older } : older;
  if (!says(kind, words) && !says(alternative.kind ?? kind, alternative.words ?? words)) {
    throw new Error(`expected ${kind}: ${words}\n     got ${failure.kind}: ${failure.message}`);
  }
  return failure;
}
