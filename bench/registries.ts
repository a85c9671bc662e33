/** davit's registry beside Debian's docker-registry: the same requests, 8 clients at once, from this process. */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inParallel, summarize, type Timing } from "./measure.ts";

export interface RegistryTimings {
  title: string;
  davit: Timing;
  dockerRegistry: Timing;
}

const layerBytes = 10_000_000;
const layerCount = 40;
const pullCount = 200;
const clients = 8;
const repository = "davit-bench/layers";

interface Layer {
  digest: string;
  bytes: Uint8Array<ArrayBuffer>;
}

interface Server extends AsyncDisposable {
  readonly url: string;
}

/** @param davit path of the executable. Each round begins with an empty registry. */
export async function measureRegistries(
  davit: string,
  scratch: string,
  rounds: number,
): Promise<RegistryTimings[]> {
  const layers = Array.from({ length: layerCount }, (): Layer => {
    const bytes = new Uint8Array(randomBytes(layerBytes));
    return { bytes, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` };
  });
  const kinds = [serveDavit(davit), serveDockerRegistry];
  const [pushes, pulls] = [kinds.map((): number[] => []), kinds.map((): number[] => [])];
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, serve] of kinds.entries()) {
      const directory = join(scratch, `registry-${round}-${at}`);
      mkdirSync(directory);
      await using server = await startServer(directory, serve);
      pushes[at]?.push(await timed(layerCount, (index) => push(server, layers[index])));
      pulls[at]?.push(await timed(pullCount, (index) => pull(server, layers[index % layerCount])));
      rmSync(directory, { recursive: true, force: true });
      Bun.spawnSync(["sync"]);
    }
  }
  const timings = (title: string, [ours = [], theirs = []]: number[][]): RegistryTimings => ({
    title,
    davit: summarize(ours),
    dockerRegistry: summarize(theirs),
  });
  return [
    timings(`registry: ${layerCount} pushes of a 10 MB layer, ${clients} clients`, pushes),
    timings(`registry: ${pullCount} pulls of a 10 MB layer, ${clients} clients`, pulls),
  ];
}

async function timed(count: number, once: (index: number) => Promise<void>): Promise<number> {
  const began = performance.now();
  await inParallel(count, clients, once);
  return performance.now() - began;
}

async function push(server: Server, layer: Layer | undefined): Promise<void> {
  if (layer === undefined) throw new Error("there is no such layer");
  const begun = await fetch(`${server.url}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  await begun.body?.cancel();
  const location = new URL(begun.headers.get("location") ?? "", server.url);
  location.searchParams.set("digest", layer.digest);
  const headers = { "content-type": "application/octet-stream" };
  const ended = await fetch(location, { method: "PUT", headers, body: layer.bytes });
  await ended.body?.cancel();
  if (begun.status !== 202 || ended.status !== 201) throw new Error(`push: ${begun.status}, ${ended.status}`);
}

async function pull(server: Server, layer: Layer | undefined): Promise<void> {
  const response = await fetch(`${server.url}/v2/${repository}/blobs/${layer?.digest}`);
  let size = 0;
  for await (const chunk of response.body ?? []) size += chunk.byteLength;
  if (response.status !== 200 || size !== layerBytes)
    throw new Error(`pull: ${response.status}, ${size} bytes`);
}

type Serve = (directory: string, address: string) => string[];

function serveDavit(davit: string): Serve {
  return (directory, address) => [davit, "registry", "serve", "--listen", address, "--root", directory];
}

function serveDockerRegistry(directory: string, address: string): string[] {
  const configuration = `${directory}.yml`;
  const storage = `{ filesystem: { rootdirectory: ${directory} }, cache: { blobdescriptor: inmemory } }`;
  const text = `version: 0.1\nlog: { level: error }\nstorage: ${storage}\nhttp: { addr: "${address}" }\n`;
  writeFileSync(configuration, text);
  return ["docker-registry", "serve", configuration];
}

async function startServer(directory: string, serve: Serve): Promise<Server> {
  const address = "127.0.0.1:5112";
  const child = Bun.spawn(serve(directory, address), { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  const url = `http://${address}`;
  const deadline = performance.now() + 10_000;
  for (;;) {
    const answer = await fetch(`${url}/v2/`).catch(() => undefined);
    if (answer?.status === 200) break;
    if (performance.now() > deadline) throw new Error(`no registry answers at ${address}`);
    await Bun.sleep(50);
  }
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}
