/** What a registry bears over time: clients that trickle, certificates that are renewed, caches that fill up. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { openUpstream } from "../../src/cli/registry/upstream.ts";
import { openRegistryServer } from "../../src/registry/server/index.ts";
import { until } from "../harness/eventually.ts";
import {
  beginUpload,
  codeOf,
  digestOf,
  expectStatus,
  indexType,
  manifestType,
  pushBlob,
  pushImage,
  putManifest,
  randomBytes,
  startRegistry,
  temporaryDirectory,
  type World,
} from "./server-world.ts";

setDefaultTimeout(60_000);

/** A connection that gets a byte of `text` now and then. */
function trickle(address: string, text: string, every: number) {
  const { hostname, port } = new URL(address);
  const socket: Socket = connect(Number(port), hostname);
  let answer = "";
  let sent = 0;
  socket.on("data", (data) => {
    answer += data.toString("latin1");
  });
  socket.on("error", () => {});
  const timer = setInterval(() => socket.write(text[sent++ % text.length] ?? " "), every);
  const closed = new Promise<string>((resolve) => {
    socket.on("close", () => {
      clearInterval(timer);
      resolve(answer);
    });
  });
  return { socket, closed, sent: () => sent };
}

describe("a client that trickles", () => {
  test("its headers loses its connection; who works on is left alone", async () => {
    await using world = await startRegistry({ longestHeaders: 1500 });
    const upload = await beginUpload(world, "slow");
    const slow = trickle(
      world.address,
      "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      100,
    );
    // Uploads as long as that other one is borne: its bytes come slowly, too, but they come for a request.
    const { hostname, port } = new URL(world.address);
    const pusher = connect(Number(port), hostname);
    let answer = "";
    pusher.on("data", (data) => {
      answer += data.toString("latin1");
    });
    pusher.write(`PATCH ${upload} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n`);
    await slow.closed;
    expect(slow.sent()).toBeGreaterThan(5);
    pusher.write("0123456789");
    await until(async () => answer.includes("202 Accepted"));
    pusher.destroy();
    expect((await world.call(upload)).headers.get("range")).toBe("0-9");
  });

  test("its handshake loses its connection", async () => {
    using keys = await keyPairs();
    const root = temporaryDirectory();
    const server = await openRegistryServer({
      root,
      listen: { hostname: "127.0.0.1", port: 0 },
      tls: keys.files,
      longestHeaders: 1000,
    });
    // The header of a TLS record that announces a long ClientHello.
    const slow = trickle(server.address, "\x16\x03\x01\x02\x00", 100);
    await slow.closed;
    await server.close(0);
    rmSync(root, { recursive: true });
  });

  test("a body is told so, and what came is kept", async () => {
    await using world = await startRegistry({ pace: { bytes: 1000, milliseconds: 500 } });
    const upload = await beginUpload(world, "slow");
    const slow = trickle(world.address, "", 1000);
    slow.socket.write(`PATCH ${upload} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n0123456789`);
    const answer = await slow.closed;
    expect(answer).toContain("408");
    const status = await world.call(upload);
    expect(status.headers.get("range")).toBe("0-9");
    const rest = randomBytes(5000);
    const whole = Buffer.concat([Buffer.from("0123456789"), rest]);
    const end = await world.call(`${upload}?digest=${digestOf(whole)}`, { method: "PUT", body: rest });
    expect(end.status).toBe(201);
  });
});

/** Two certificates, of which `files` holds the first until `renew` is called. */
async function keyPairs() {
  const directory = temporaryDirectory();
  for (const name of ["old", "new"]) {
    await Bun.$`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj ${`/CN=${name}`} -addext subjectAltName=IP:127.0.0.1 -keyout ${join(directory, `${name}.key`)} -out ${join(directory, `${name}.crt`)}`.quiet();
  }
  const files = { certFile: join(directory, "server.crt"), keyFile: join(directory, "server.key") };
  const put = (part: "crt" | "key", name: string) =>
    cpSync(join(directory, `${name}.${part}`), join(directory, `server.${part}`));
  put("crt", "old");
  put("key", "old");
  return { files, put, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
}

async function commonName(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
    resolve(String(socket.getPeerCertificate().subject.CN));
    socket.destroy();
  });
  socket.on("error", reject);
  return await promise;
}

describe("certificates", () => {
  test("are read again when they have changed, and not before they belong together", async () => {
    using keys = await keyPairs();
    const root = temporaryDirectory();
    const warnings: string[] = [];
    const server = await openRegistryServer({
      root,
      listen: { hostname: "127.0.0.1", port: 0 },
      tls: keys.files,
      tlsCheckEvery: 20,
      warn: (message) => warnings.push(message),
    });
    try {
      const { port } = server;
      expect(await commonName(port)).toBe("old");
      keys.put("crt", "new");
      await until(async () => warnings.join().includes("the certificate stays as it was"));
      expect(await commonName(port)).toBe("old");
      keys.put("key", "new");
      // A connection that is being made while the listener changes may be reset.
      await until(async () => (await commonName(port).catch(() => "none")) === "new");
    } finally {
      await server.close(0);
      rmSync(root, { recursive: true });
    }
  });
});

/** Everything of an image, as a client pulls it. */
async function pull(world: World, repository: string): Promise<void> {
  const response = await world.call(`/v2/${repository}/manifests/1`);
  const manifest: { config: { digest: string }; layers: { digest: string }[] } = JSON.parse(
    await response.text(),
  );
  for (const { digest } of [manifest.config, ...manifest.layers]) {
    const blob = await world.call(`/v2/${repository}/blobs/${digest}`);
    expect(digestOf(await blob.bytes())).toBe(digest);
  }
}

describe("a cache with a size", () => {
  test("lets go of what was asked for longest ago, and gets it again when it is wanted", async () => {
    await using upstream = await startRegistry();
    const names = ["a", "b", "c", "d"];
    const shared = randomBytes(100_000);
    for (const name of names) await pushImage(upstream, name, "1", [shared, randomBytes(1_000_000)]);
    await using cache = await startRegistry({
      upstream: openUpstream(upstream.address, {}, {}),
      cacheSize: 3_300_000,
      lease: 2,
    });
    const held = async () => {
      const answer = await (await cache.call("/v2/_catalog")).text();
      const { repositories }: { repositories: string[] } = JSON.parse(answer);
      return repositories;
    };
    for (const name of ["a", "b", "c"]) await pull(cache, name);
    expect(await held()).toEqual(["a", "b", "c"]);
    await Bun.sleep(5);
    await pull(cache, "a");
    await pull(cache, "d");
    // "b" and then "c" were asked for longest ago; a tenth of the size is left free.
    await until(async () => (await held()).join() === "a,d");
    const page = await (await cache.call("/")).text();
    expect(page).toContain("2.1");
    await pull(cache, "b");
    expect(await held()).toContain("b");
  });
});

describe("an index of which not all is there", () => {
  test("is refused, unless the registry is told to take it", async () => {
    const missing = { mediaType: manifestType, digest: digestOf("missing"), size: 7 };
    for (const sparseIndexes of [false, true]) {
      await using world = await startRegistry({ sparseIndexes });
      const here = {
        mediaType: manifestType,
        digest: await pushImage(world, "team/app", "amd64"),
        size: 500,
      };
      const index = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [here, missing] });
      const answer = await putManifest(world, "team/app", "1", index, indexType);
      if (!sparseIndexes) {
        expect(answer.status).toBe(400);
        expect(await codeOf(answer)).toBe("MANIFEST_BLOB_UNKNOWN");
        continue;
      }
      await expectStatus(answer, 201);
      expect(await (await world.call("/v2/team/app/manifests/1")).text()).toBe(index);
      const page = await (await world.call("/repositories/team/app:1")).text();
      expect(page).toContain("not here");
      expect(page).toContain(missing.digest);
      // Layers that an image names have to be there all the same.
      const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf("x"), size: 1 };
      const config = { ...layer, mediaType: "application/vnd.oci.image.config.v1+json" };
      const image = JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers: [layer] });
      expect(await codeOf(await putManifest(world, "team/app", "2", image))).toBe("MANIFEST_BLOB_UNKNOWN");
      await pushBlob(world, "team/app", randomBytes(10));
    }
  });
});
