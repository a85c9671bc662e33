/** Debian's docker-registry (the distribution project's own, version 2.8) as a test wants it. */
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { listens, makeCertificates, type Scratch, scratch } from "./client-support.ts";

export interface RealRegistry extends AsyncDisposable {
  readonly host: string;
  readonly directory: string;
}

export function missingForRegistry(): string | undefined {
  return Bun.which("docker-registry") === null ? "not installed: docker-registry" : undefined;
}

/** `more` is YAML appended to its configuration; it may use the directory. `tls`: with certificates of its own. */
export async function startDockerRegistry(
  more: (directory: string) => string | Promise<string> = () => "",
  tls = false,
): Promise<RealRegistry> {
  const room: Scratch = scratch();
  const data = join(room.path, "data");
  mkdirSync(data);
  const port = await freePort();
  const config = join(room.path, "config.yml");
  const at = (name: string) => join(room.path, name);
  if (tls) await makeCertificates(room.path);
  const own = [
    "version: 0.1",
    "log: {level: error, accesslog: {disabled: true}}",
    `storage: {filesystem: {rootdirectory: ${data}}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:${port}"${tls ? `, tls: {certificate: ${at("server.crt")}, key: ${at("server.key")}}` : ""}}`,
  ];
  await Bun.write(config, `${own.join("\n")}\n${await more(room.path)}\n`);
  const registry = Bun.spawn(["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", config], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: "none" },
  });
  const stop = async () => {
    registry.kill("SIGKILL");
    await registry.exited;
    room[Symbol.dispose]();
  };
  const deadline = Date.now() + 30_000;
  while (!(await listens(port))) {
    if (registry.exitCode !== null || Date.now() > deadline) {
      const said = registry.exitCode === null ? "" : await registry.stderr.text();
      await stop();
      throw new Error(`docker-registry does not start: ${said}`);
    }
    await Bun.sleep(20);
  }
  return { host: `127.0.0.1:${port}`, directory: room.path, [Symbol.asyncDispose]: stop };
}

/** A htpasswd file with one user, and the configuration that uses it. */
export async function htpasswd(directory: string, username: string, password: string): Promise<string> {
  const hash = await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 });
  const path = join(directory, "htpasswd");
  await Bun.write(path, `${username}:${hash}\n`);
  return `auth: {htpasswd: {realm: test, path: ${path}}}`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
