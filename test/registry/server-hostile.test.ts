/** Clients that send too much, too slowly, or nonsense; and how much memory the registry takes for it. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { beginUpload, codeOf, digestOf, startRegistry, temporaryDirectory } from "./server-world.ts";

setDefaultTimeout(60_000);

/** Sends raw bytes, reads until the other side closes. */
async function sendRaw(address: string, text: string): Promise<string> {
  const { hostname, port } = new URL(address);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(Number(port), hostname, () => socket.write(text));
  let answer = "";
  socket.on("data", (data) => {
    answer += data.toString("latin1");
  });
  socket.on("close", () => resolve(answer));
  socket.on("error", reject);
  socket.setTimeout(20_000, () => socket.destroy(new Error("no answer")));
  return await promise;
}

describe("hostile requests", () => {
  test("headers that are too large are refused", async () => {
    await using world = await startRegistry();
    const answer = await sendRaw(
      world.address,
      `GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Large: ${"x".repeat(100_000)}\r\n\r\n`,
    );
    expect(answer).toStartWith("HTTP/1.1 431");
    expect((await world.call("/v2/")).status).toBe(200);
  });

  test("garbage instead of HTTP ends the connection and nothing else", async () => {
    await using world = await startRegistry();
    for (const text of ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "PUT /v2/ HTTP/9.9\r\n\r\n\r\n"]) {
      await sendRaw(world.address, text);
    }
    expect((await world.call("/v2/")).status).toBe(200);
  });

  test("a body in broken chunks adds nothing that was not sent", async () => {
    await using world = await startRegistry();
    const upload = await beginUpload(world, "broken");
    await sendRaw(
      world.address,
      `PATCH ${upload} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZZZ\r\n`,
    );
    const status = await world.call(upload);
    expect(["0-0", "0-2"]).toContain(status.headers.get("range") ?? "");
  });

  test("two requests at one upload take their turns", async () => {
    await using world = await startRegistry();
    const upload = await beginUpload(world, "turns");
    const part = "x".repeat(600_000);
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => world.call(upload, { method: "PATCH", body: part })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(202));
    const digest = digestOf(part.repeat(6));
    const ends = await Promise.all(
      Array.from({ length: 3 }, () => world.call(`${upload}?digest=${digest}`, { method: "PUT" })),
    );
    expect(ends.map(({ status }) => status).sort()).toEqual([201, 404, 404]);
    expect((await world.call(`/v2/turns/blobs/${digest}`, { method: "HEAD" })).status).toBe(200);
  });

  test("a PUT of another upload's bytes cannot take their place", async () => {
    await using world = await startRegistry();
    const [first, second] = [await beginUpload(world, "one"), await beginUpload(world, "two")];
    await world.call(first, { method: "PATCH", body: "first" });
    const response = await world.call(`${second}?digest=${digestOf("first")}`, { method: "PUT" });
    expect(await codeOf(response)).toBe("DIGEST_INVALID");
    expect((await world.call(`${first}?digest=${digestOf("first")}`, { method: "PUT" })).status).toBe(201);
  });

  test("a large blob takes disk, not memory, on its way in and out", async () => {
    const root = temporaryDirectory();
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "server-process.ts"), root], {
      stdout: "pipe",
    });
    try {
      const { value } = await child.stdout.getReader().read();
      const address = new TextDecoder().decode(value).trim();
      const [piece, count] = [new Uint8Array(1 << 20), 300];
      const hasher = new Bun.CryptoHasher("sha256");
      for (let sent = 0; sent < count; sent += 1) hasher.update(piece);
      const digest = `sha256:${hasher.digest("hex")}`;
      let left = count;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (left === 0) controller.close();
          else controller.enqueue(piece);
          left -= 1;
        },
      });
      const path = `${address}/v2/large/blobs`;
      const pushed = await fetch(`${path}/uploads/?digest=${digest}`, { method: "POST", body });
      expect(pushed.status).toBe(201);
      let length = 0;
      const pulled = await fetch(`${path}/${digest}`);
      for await (const chunk of pulled.body ?? []) length += chunk.length;
      expect(length).toBe(count * piece.length);
      const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1];
      expect(Number(peak)).toBeLessThan(220_000);
    } finally {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(root, { recursive: true, force: true });
    }
  });
});
