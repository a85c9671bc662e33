import { closeSync, existsSync, openSync, unlinkSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { NotFound } from "../../core/errors.ts";
import type { ContainerCreateRequest } from "../../core/objects.ts";
import type { Engine } from "../../engine/engine.ts";
import { describeFailure } from "../cli.ts";
import { atLeastOne, type Command, CommandError } from "../command.ts";
import { FileFailure, fileFailure } from "../files.ts";
import type { Io } from "../io.ts";
import { type ContainerFlags, containerFlags } from "../options/container.ts";
import { checkReference, familiarReference } from "../options/references.ts";

export const create: Command = {
  synopsis: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  summary: "Create a new container",
  count: atLeastOne,
  flagsEndAtFirstWord: true,
  runsContainer: true,
  examples: ["create --name web -p 8080:80 web-server", "create -v data:/data busybox sh -c 'ls /data'"],
  define(flags) {
    const options = containerFlags(flags, "creating");
    return async ({ args, io, engine }) => {
      const request = options.request(args, io);
      const id = await createContainer(await engine(), io, request, options).catch((error) => {
        throw error instanceof FileFailure ? error : new CommandError(describeFailure(error));
      });
      await io.stdout.write(`${id}\n`);
      return 0;
    };
  },
};

/** Creates the container and writes its id to the --cidfile. @returns the id */
export async function createContainer(
  engine: Engine,
  io: Io,
  request: ContainerCreateRequest,
  options: ContainerFlags,
): Promise<string> {
  const image = request.Image ?? "";
  checkReference(image);
  using idFile = openIdFile(io, request.HostConfig?.ContainerIDFile ?? "");
  if (options.pull.value === "always") throw cannotPull(image);
  try {
    const { Id, Warnings } = await engine.containers.create(request, {
      ...(options.name.value !== "" ? { name: options.name.value } : {}),
      ...(options.platform.value !== "" ? { platform: options.platform.value } : {}),
    });
    for (const warning of Warnings ?? []) await io.stderr.write(`WARNING: ${warning}\n`);
    idFile.write(Id);
    return Id;
  } catch (error) {
    const isMissing = error instanceof NotFound && /no such image/i.test(error.message);
    if (!isMissing || options.pull.value !== "missing") throw error;
    if (!options.quiet.value) {
      await io.stderr.write(`Unable to find image '${familiarReference(image)}' locally\n`);
    }
    throw cannotPull(image);
  }
}

function cannotPull(image: string): Error {
  return new CannotPull(
    `cannot pull ${familiarReference(image)}: pulling from registries is not supported yet by davit; ` +
      "bring the image in with 'davit load' or 'davit import'",
  );
}

/** The image would have to come from a registry. */
class CannotPull extends Error {
  override readonly name = "CannotPull";
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
