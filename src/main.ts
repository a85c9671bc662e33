/**
 * Which door: an internal verb (conmon calls davit when a container has ended), or the command line.
 * The only file that reads this process's arguments, environment and identity.
 */

import { type EngineChoice, globalFlags, runCli } from "./cli/cli.ts";
import { CommandError } from "./cli/command.ts";
import { parseFlags } from "./cli/flags/parse.ts";
import { processIo } from "./cli/process-io.ts";
import { messageOf } from "./core/errors.ts";
import { armFault } from "./core/fault.ts";
import { defaultDataRoot, defaultExecRoot, describeInstance, type Instance } from "./core/instance.ts";
import { basename, join, resolve } from "./core/paths.ts";
import { version } from "./core/version.ts";
import type { Engine } from "./engine/engine.ts";
import { announceMoveEarly } from "./linux/cgroup-move.ts";
import { exitNow } from "./linux/exit.ts";
import { readFileSync, writeSync } from "./linux/files.ts";

const program = "davit";
const searchPath = process.env.PATH || "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function instanceOf(choice: { dataRoot: string | undefined; execRoot: string | undefined }): Instance {
  return describeInstance(
    resolve(choice.dataRoot || process.env.DAVIT_DATA_ROOT || defaultDataRoot),
    resolve(choice.execRoot || process.env.DAVIT_EXEC_ROOT || defaultExecRoot),
  );
}

/** The engine in this process makes mounts, namespaces and networks. */
class NeedsRoot extends Error {
  override readonly name = "NeedsRoot";
}

/** Words that start this davit again. */
function selfCommand(): string[] {
  return Bun.main.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, Bun.main];
}

/**
 * -H; else flags of the engine in this process mean that one; else DAVIT_HOST; else roots in the environment;
 * else DOCKER_HOST, so that davit follows where docker would go.
 */
function hostOf(choice: EngineChoice): string | undefined {
  const isHere = [choice.dataRoot, choice.execRoot, choice.storageDriver].some((word) => word !== undefined);
  if (choice.host !== undefined) {
    if (isHere) {
      throw new CommandError("conflicting options: --host and --data-root, --exec-root or --storage-driver");
    }
    return choice.host;
  }
  if (isHere) return undefined;
  const { DAVIT_HOST, DAVIT_DATA_ROOT, DAVIT_EXEC_ROOT, DOCKER_HOST } = process.env;
  if (DAVIT_HOST) return DAVIT_HOST;
  if (DAVIT_DATA_ROOT || DAVIT_EXEC_ROOT) return undefined;
  return DOCKER_HOST || undefined;
}

async function openEngine(choice: EngineChoice): Promise<Engine> {
  const host = hostOf(choice);
  if (host !== undefined) {
    const { openRemoteEngine } = await import("./api/client/index.ts");
    const apiVersion = process.env.DOCKER_API_VERSION;
    return await openRemoteEngine(host, {
      ...(apiVersion ? { apiVersion } : {}),
      ...(process.env.TMPDIR ? { scratch: process.env.TMPDIR } : {}),
      ...(host.startsWith("tcp://") ? tlsOptions() : {}),
    });
  }
  if (process.geteuid?.() !== 0) {
    throw new NeedsRoot(
      `this needs root: try 'sudo ${program} …' (running as an ordinary user comes with a later version)`,
    );
  }
  const { openLocalEngine } = await import("./engine/local/index.ts");
  // Here it may be awaited, which is quicker than `require`.
  const configFile = choice.registry === undefined ? undefined : await import("./registry/config-file.ts");
  const engine = await openLocalEngine({
    instance: instanceOf(choice),
    self: selfCommand(),
    searchPath,
    ...(choice.exec === undefined ? {} : { exec: choice.exec }),
    ...(choice.registry === undefined ? {} : { registry: choice.registry }),
    ...(choice.storageDriver === undefined ? {} : { storageDriver: choice.storageDriver }),
    registryConfig: () => {
      const config: typeof import("./registry/config-file.ts") =
        configFile ?? require("./registry/config-file.ts");
      const environment = process.env;
      return config.readRegistryConfig({ files: config.configFilesOf(environment), environment });
    },
  });
  // Never closed: the end of this process lets go of everything, without the checkpoint that a close would cost.
  return { ...engine, close: async () => {} };
}

/** As docker: DOCKER_TLS_VERIFY (not empty) with ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH. */
function tlsOptions() {
  if (!process.env.DOCKER_TLS_VERIFY) return {};
  const directory = process.env.DOCKER_CERT_PATH || join(process.env.HOME || "/root", ".docker");
  const read = (name: string) => readFileSync(join(directory, name), "utf8");
  return { tls: { ca: read("ca.pem"), cert: read("cert.pem"), key: read("key.pem") } };
}

/** The executable goes by the name of `buildah` too, and is one then. */
async function givenWords(words: string[]): Promise<string[]> {
  if (basename(process.argv0) !== "buildah" || words.includes("internal")) return words;
  const { wordsOfBuildah } = await import("./cli/working/as-buildah.ts");
  return wordsOfBuildah(words);
}

/** Verbs that start a process in a container; if the word means something else, nothing is lost. */
const startingVerbs = new Set(["exec", "run", "start", "restart"]);

async function main(words: readonly string[]): Promise<number> {
  armFault(process.env.DAVIT_FAULT);
  if (words.some((word) => startingVerbs.has(word))) announceMoveEarly();
  if (words.includes("internal")) {
    const global = globalFlags();
    const [door, ...verb] = parseFlags(global.flags, words, false).positional;
    if (door === "internal") {
      const { runInternal } = await import("./engine/local/internal.ts");
      const instance = instanceOf({ dataRoot: global.dataRoot.value, execRoot: global.execRoot.value });
      return await runInternal(verb, { instance, self: selfCommand(), searchPath });
    }
  }
  return await runCli(words, { program, version, io: processIo(), openEngine });
}

givenWords(process.argv.slice(2))
  .then(main)
  .then(
    (status) => exitNow(status),
    (error) => {
      writeSync(2, `${program}: ${messageOf(error)}\n`);
      exitNow(1);
    },
  );
