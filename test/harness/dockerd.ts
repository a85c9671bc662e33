/** Real Docker as the oracle: a dockerd of the test's own, sealed off from the machine, gone with the test. */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { openRemoteEngine } from "../../src/api/client/index.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { busyboxArchive } from "./images.ts";

export interface Dockerd extends AsyncDisposable {
  /** `unix:///…/docker.sock`, good for `-H` and DOCKER_HOST. */
  readonly host: string;
  /** A new client. */
  engine(): Promise<Engine>;
  /** What it said so far. */
  log(): string;
}

export interface DockerdOptions {
  /** Our own network, and no bridge: what listens on our loopback address is reachable. */
  hostNetwork?: boolean;
}

const supervisor = join(import.meta.dir, "dockerd-supervisor.sh");
const longestStart = 60_000;

/** Why there can be no dockerd here; undefined when there can. */
export function missingForDockerd(): string | undefined {
  const missing = ["dockerd", "containerd", "unshare", "ip", "iptables"].filter(
    (name) => Bun.which(name) === null,
  );
  if (missing.length > 0) return `not installed: ${missing.join(", ")} (Debian: docker.io iproute2 iptables)`;
  if (process.getuid?.() !== 0) return "not root";
  return undefined;
}

/**
 * Starts a dockerd with its own roots, in its own network, mount and PID namespaces, with bridge networking inside
 * and `davit-busybox:latest` loaded. Published ports are reachable in its namespace only. Process ids that it tells
 * are those of its own PID namespace.
 */
export async function startDockerd(options: DockerdOptions = {}): Promise<Dockerd> {
  const missing = missingForDockerd();
  if (missing !== undefined) throw new Error(`dockerd cannot be started: ${missing}`);
  const root = mkdtempSync(join(tmpdir(), "davit-test-dockerd-"));
  const process_ = Bun.spawn(
    ["setsid", "sh", supervisor, root, `/${basename(root)}`, options.hostNetwork ? "host" : "own"],
    {
      stdin: "pipe",
      stdout: "inherit",
      stderr: "inherit",
    },
  );
  const host = `unix://${root}/docker.sock`;
  const log = (): string => readFileSync(join(root, "log"), "utf8");
  const stop = async (): Promise<void> => {
    await process_.stdin.end();
    if ((await process_.exited) !== 0) throw new Error(`dockerd in ${root} was not taken down cleanly`);
  };

  try {
    const engine = await untilAnswers(host, log);
    try {
      for await (const _ of engine.images.load(Bun.file(await busyboxArchive()).stream())) {
        // Progress; a failure throws.
      }
    } finally {
      await engine.close();
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { host, log, engine: () => openRemoteEngine(host), [Symbol.asyncDispose]: stop };
}

async function untilAnswers(host: string, log: () => string): Promise<Engine> {
  const deadline = Date.now() + longestStart;
  for (;;) {
    try {
      return await openRemoteEngine(host);
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`dockerd does not answer:\n${log()}`, { cause: error });
    }
    await Bun.sleep(50);
  }
}
