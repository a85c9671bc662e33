/** Debian's docker-registry (CNCF distribution): a registry of the test's own, gone with the test. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:40123`: plain HTTP, which is taken from loopback addresses. */
  readonly host: string;
}

export interface DockerRegistryOptions {
  /** Asks for this name and password. */
  user?: { name: string; password: string };
}

const longestStart = 20_000;

/** Why there can be no docker-registry here; undefined when there can. */
export function missingForDockerRegistry(): string | undefined {
  return Bun.which("docker-registry") === null
    ? "not installed: docker-registry (Debian: docker-registry)"
    : undefined;
}

export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const root = mkdtempSync(join(tmpdir(), "davit-test-registry-"));
  const host = `127.0.0.1:${freePort()}`;
  const configuration = {
    version: "0.1",
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: join(root, "data") }, delete: { enabled: true } },
    http: { addr: host },
    ...(options.user === undefined ? {} : { auth: passwordFile(root, options.user) }),
  };
  // YAML takes JSON.
  const file = join(root, "config.yml");
  writeFileSync(file, JSON.stringify(configuration));
  const child = Bun.spawn(["docker-registry", "serve", file], { stdout: "ignore", stderr: "ignore" });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
    rmSync(root, { recursive: true, force: true });
  };
  try {
    await untilAnswers(host);
  } catch (error) {
    await stop();
    throw error;
  }
  return { host, [Symbol.asyncDispose]: stop };
}

function passwordFile(root: string, user: { name: string; password: string }) {
  const path = join(root, "htpasswd");
  const hash = Bun.password.hashSync(user.password, { algorithm: "bcrypt", cost: 4 });
  writeFileSync(path, `${user.name}:${hash.replace(/^\$2b\$/, "$2y$")}\n`);
  return { htpasswd: { realm: "davit-test", path } };
}

function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

async function untilAnswers(host: string): Promise<void> {
  const deadline = Date.now() + longestStart;
  for (;;) {
    try {
      await fetch(`http://${host}/v2/`);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`no registry answers at ${host}`, { cause: error });
    }
    await Bun.sleep(30);
  }
}
