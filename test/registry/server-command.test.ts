/** `davit registry serve` and `davit registry gc`, as a user runs them. */
import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { runCli } from "../../src/cli/cli.ts";
import { parseListenAddress } from "../../src/cli/registry/address.ts";
import { fakeIo } from "../cli/fake-io.ts";
import { digestOf, randomBytes, temporaryDirectory } from "./server-world.ts";

const main = join(import.meta.dir, "..", "..", "src", "main.ts");

async function startCommand(root: string, ...flags: string[]) {
  const words = ["registry", "serve", "--root", root, "--listen", "127.0.0.1:0", ...flags];
  const child = Bun.spawn([process.execPath, main, ...words], { stdout: "pipe", stderr: "pipe" });
  const reader = child.stderr.getReader();
  const { value } = await reader.read();
  const line = new TextDecoder().decode(value);
  const address = /listens on (\S+),/.exec(line)?.[1];
  if (address === undefined) throw new Error(`the registry did not start: ${line}`);
  return {
    address,
    child,
    log: () => new Response(child.stdout).text(),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

function directory() {
  const path = temporaryDirectory();
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

async function davit(...words: string[]) {
  const fake = fakeIo();
  const status = await runCli(words, {
    program: "davit",
    version: "1",
    io: fake.io,
    openEngine: async () => {
      throw new Error("a registry needs no engine");
    },
  });
  return { status, stdout: fake.stdout, stderr: fake.stderr };
}

describe("registry serve", () => {
  test("serves, writes a line for each request, and ends with SIGTERM", async () => {
    using place = directory();
    await using command = await startCommand(place.path);
    expect((await fetch(`${command.address}/v2/`)).status).toBe(200);
    expect((await fetch(`${command.address}/v2/a/tags/list`)).status).toBe(404);
    command.child.kill("SIGTERM");
    expect(await command.child.exited).toBe(0);
    const lines = (await command.log()).trim().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^\S+Z 127\.0\.0\.1 - GET \/v2\/ 200 \d+ [\d.]+ms$/);
    expect(lines[1]).toContain("GET /v2/a/tags/list 404");
  });

  test("writes JSON lines when asked", async () => {
    using place = directory();
    await using command = await startCommand(place.path, "--log-format", "json");
    await fetch(`${command.address}/v2/`, { headers: { "User-Agent": "test" } });
    command.child.kill("SIGINT");
    expect(await command.child.exited).toBe(0);
    expect(JSON.parse(await command.log())).toMatchObject({
      method: "GET",
      path: "/v2/",
      status: 200,
      agent: "test",
    });
  });

  test("lets a request in flight end when it is told to stop", async () => {
    using place = directory();
    await using command = await startCommand(place.path);
    const { hostname, port, host } = new URL(command.address);
    const blob = randomBytes(100_000);
    const socket = connect(Number(port), hostname);
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    let answer = "";
    socket.on("data", (data) => {
      answer += data.toString();
    });
    const path = `/v2/slow/blobs/uploads/?digest=${digestOf(blob)}`;
    socket.write(`POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${blob.length}\r\n\r\n`);
    socket.write(blob.subarray(0, 50_000));
    await Bun.sleep(200);
    command.child.kill("SIGTERM");
    await Bun.sleep(200);
    socket.write(blob.subarray(50_000));
    expect(await command.child.exited).toBe(0);
    expect(answer).toStartWith("HTTP/1.1 201");
    socket.destroy();
  });

  test("says what is wrong with its flags and files", async () => {
    using place = directory();
    const users = join(place.path, "users");
    writeFileSync(users, "anna:plain\n");
    const serve = (...flags: string[]) => davit("registry", "serve", "--root", place.path, ...flags);
    const cases: [flags: string[], problem: string][] = [
      [["--listen", "nowhere"], '"nowhere" is not HOST:PORT'],
      [["--quota", "lots"], "invalid"],
      [["--log-format", "xml"], "it is plain, json or none"],
      [["--tls-cert", "x"], "--tls-cert and --tls-key are needed together"],
      [["--tls-cert", "/nowhere/c", "--tls-key", "/nowhere/k"], "stat /nowhere/c: no such file or directory"],
      [["--tls-cert", users, "--tls-key", users], `${users} and ${users}: `],
      [["--cache-size", "1g"], "--cache-size needs --proxy"],
      [["--htpasswd", users], "line 1 is not user:bcrypt"],
      [["--htpasswd", "/nowhere/users"], "stat /nowhere/users: no such file or directory"],
      [
        ["--token-realm", "https://x"],
        "--token-realm, --token-service and --token-issuer are needed together",
      ],
      [["--proxy", "ftp://x"], '"ftp://x" is not https://HOST[:PORT]'],
      [["--proxy", "https://x", "--proxy-user", "me"], "--proxy-password-file are needed together"],
    ];
    for (const [flags, problem] of cases) {
      const { status, stderr } = await serve(...flags);
      expect(status).not.toBe(0);
      expect(stderr).toContain(problem);
    }
  });

  test("addresses are hosts, ports, or both", () => {
    expect(parseListenAddress("127.0.0.1:5000")).toEqual({ hostname: "127.0.0.1", port: 5000 });
    expect(parseListenAddress("[::1]:80")).toEqual({ hostname: "::1", port: 80 });
    expect(parseListenAddress("localhost:0")).toEqual({ hostname: "localhost", port: 0 });
    expect(parseListenAddress(":5000")).toEqual({ hostname: "0.0.0.0", port: 5000 });
    expect(parseListenAddress("5000")).toEqual({ hostname: "0.0.0.0", port: 5000 });
    for (const text of ["", "host", "host:", ":99999", "a:b:1", "http://x:1"]) {
      expect(() => parseListenAddress(text)).toThrow("is not HOST:PORT");
    }
  });
});

describe("registry gc", () => {
  test("collects a registry that is served, and one that is not", async () => {
    using place = directory();
    {
      await using command = await startCommand(place.path, "--gc-grace", "0s", "--gc-interval", "0s");
      const blob = randomBytes(10_000);
      const path = `/v2/loose/blobs/uploads/?digest=${digestOf(blob)}`;
      await fetch(command.address + path, { method: "POST", body: blob });
      await Bun.sleep(5);
      expect(await davit("registry", "gc", "--root", place.path)).toEqual({
        status: 0,
        stdout: "Removed 0 manifests and 1 blobs, 10kB\n",
        stderr: "",
      });
      const second = `/v2/loose/blobs/${digestOf(blob)}`;
      expect((await fetch(command.address + second)).status).toBe(404);
    }
    expect((await davit("registry", "garbage-collect", "--root", place.path)).stdout).toStartWith(
      "Removed 0",
    );
    expect((await davit("registry", "gc", "--root", "/nowhere/at/all")).stderr).toContain(
      "there is no registry in /nowhere/at/all",
    );
  });
});
