import { messageOf, NotFound } from "../../core/errors.ts";
import type { ContainerCreateRequest } from "../../core/objects.ts";
import { resolve } from "../../core/paths.ts";
import type { Engine } from "../../engine/engine.ts";
import { closeSync, existsSync, openSync, unlinkSync, writeSync } from "../../linux/files.ts";
import { describeFailure } from "../cli.ts";
import { atLeastOne, type Command, CommandError, type Invocation } from "../command.ts";
import { FileFailure, fileFailure } from "../files.ts";
import type { PullInProgress } from "../image/pull.ts";
import type { Io } from "../io.ts";
import { type ContainerFlags, containerFlags } from "../options/container.ts";
import { checkReference, familiarReference, isImageId } from "../options/references.ts";

export const create: Command = {
  synopsis: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  summary: "Create a new container",
  count: atLeastOne,
  flagsEndAtFirstWord: true,
  runsContainer: true,
  examples: ["create --name web -p 8080:80 web-server", "create -v data:/data busybox sh -c 'ls /data'"],
  define(flags) {
    const options = containerFlags(flags, "creating");
    return async (invocation) => {
      const { args, io } = invocation;
      const request = options.request(args, io);
      const { id, pull } = await createContainer(invocation, request, options).catch((error) => {
        throw error instanceof FileFailure ? error : new CommandError(describeFailure(error));
      });
      await io.stdout.write(`${id}\n`);
      await settle(io, pull);
      return 0;
    };
  },
};

/** A container, and perhaps the rest of the pull that it did not have to wait for. */
export interface Created {
  id: string;
  pull: PullInProgress | undefined;
}

/**
 * Creates the container, pulls its image first where that is wanted, and writes its id to the --cidfile.
 * @param beforePull throws where what has the image's name is no image, and not to be pulled
 */
export async function createContainer(
  { engine, io, configDirectory }: Pick<Invocation, "engine" | "io" | "configDirectory">,
  request: ContainerCreateRequest,
  options: ContainerFlags,
  beforePull: (engine: Engine) => Promise<void> = async () => {},
): Promise<Created> {
  const image = request.Image ?? "";
  checkReference(image);
  using idFile = openIdFile(io, request.HostConfig?.ContainerIDFile ?? "");
  const opened = await engine();
  const platform = options.platform.value || io.env.DOCKER_DEFAULT_PLATFORM;
  const create = async (): Promise<string> => {
    const { Id, Warnings } = await opened.containers.create(request, {
      ...(options.name.value !== "" ? { name: options.name.value } : {}),
      ...(platform ? { platform } : {}),
    });
    for (const warning of Warnings ?? []) await io.stderr.write(`WARNING: ${warning}\n`);
    idFile.write(Id);
    return Id;
  };
  const createAfterPull = async (): Promise<Created> => {
    const { pullForUse } = await import("../image/pull.ts");
    const pull = await pullForUse({ io, configDirectory }, opened, image, {
      quiet: options.quiet.value,
      ...(platform ? { platform } : {}),
    });
    try {
      return { id: await create(), pull };
    } catch (error) {
      await settle(io, pull);
      throw error;
    }
  };
  if (options.pull.value === "always" && !isImageId(image)) return await createAfterPull();
  try {
    return { id: await create(), pull: undefined };
  } catch (error) {
    if (options.pull.value !== "missing" || isImageId(image) || !lacksImage(error)) throw error;
    await beforePull(opened);
    if (!options.quiet.value) {
      await io.stderr.write(`Unable to find image '${familiarReference(image)}' locally\n`);
    }
    return await createAfterPull();
  }
}

/** The container did not wait for its image to be on disk for good; we do. It runs, whatever becomes of that. */
export async function settle(io: Io, pull: PullInProgress | undefined): Promise<void> {
  try {
    await pull?.finished();
  } catch (error) {
    await io.stderr.write(`WARNING: the image may not outlast a power cut: ${messageOf(error)}\n`);
  }
}

/** There is no such image, or none for the platform. */
function lacksImage(error: unknown): boolean {
  return (
    error instanceof NotFound && /no such image|does not match the specified platform/i.test(error.message)
  );
}

interface IdFile extends Disposable {
  write(id: string): void;
}

/** Makes the file at once, so that a path that cannot be written is known before there is a container. */
function openIdFile(io: Io, name: string): IdFile {
  if (name === "") return { write: () => {}, [Symbol.dispose]: () => {} };
  const path = resolve(io.cwd, name);
  if (existsSync(path)) {
    throw new IdFileFailure(
      `container ID file found, make sure the other container isn't running or delete ${name}`,
    );
  }
  let fd: number;
  try {
    fd = openSync(path, "wx", 0o666);
  } catch (error) {
    throw new IdFileFailure(
      `failed to create the container ID file: ${fileFailure(error, "open", name).message}`,
    );
  }
  let written = false;
  return {
    write(id) {
      writeSync(fd, id);
      written = true;
    },
    [Symbol.dispose]() {
      closeSync(fd);
      if (!written) unlinkSync(path);
    },
  };
}

/** The --cidfile is in the way or cannot be made. */
class IdFileFailure extends Error {
  override readonly name = "IdFileFailure";
}
