/** Logging in to Docker Hub with a browser, against a server that speaks its side of the flow. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logInWithBrowser, logOutOfBrowser } from "../../src/cli/account/browser-login.ts";
import { DeviceLogin } from "../../src/registry/client/device-login.ts";
import { openCredentials } from "../../src/registry/credentials/index.ts";
import { until } from "../harness/eventually.ts";
import { davitBinary, newInstance } from "../harness/instance.ts";
import { openTerminal } from "../harness/pty.ts";
import { fakeIo } from "./fake-io.ts";

setDefaultTimeout(30_000);

const config = { mirrors: [], insecure: [], certificateDirectories: [], proxies: {} };
const hubKey = "https://index.docker.io/v1/";
const clientId = "L4v0dmlNBpYUjGGab0C2JtgTgXr1Qz4d";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "davit-test-login-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Tenant extends AsyncDisposable {
  readonly address: string;
  /** `POST /path name=value&…`, as they came. */
  readonly asked: string[];
  /** What the person does with the code. */
  answer: "nothing yet" | "agrees" | "refuses";
  readonly login: DeviceLogin;
}

/** The tenant and Docker Hub in one. */
function tenant(more: { codeStatus?: number; patStatus?: number; lifetime?: number } = {}): Tenant {
  const asked: string[] = [];
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const jwt = [{ alg: "RS256" }, { "https://hub.docker.com": { username: "alice" } }, "x"]
    .map(part)
    .join(".");
  const self: Pick<Tenant, "answer"> = { answer: "nothing yet" };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname, origin } = new URL(request.url);
      const body = await request.text();
      asked.push(`${request.method} ${pathname} ${body}`);
      const refusal = (error: string, error_description: string) =>
        Response.json({ error, error_description }, { status: 403 });
      switch (pathname) {
        case "/oauth/device/code":
          if (more.codeStatus !== undefined) return new Response("no", { status: more.codeStatus });
          return Response.json({
            device_code: "device-secret",
            user_code: "ABCD-EFGH",
            verification_uri_complete: `${origin}/activate?user_code=ABCD-EFGH`,
            expires_in: more.lifetime ?? 60,
            interval: 0,
          });
        case "/oauth/token":
          if (self.answer === "refuses") return refusal("access_denied", "the user said no");
          if (self.answer === "nothing yet")
            return refusal("authorization_pending", "User has yet to authorize");
          return Response.json({ access_token: jwt, refresh_token: "refresh-secret", token_type: "Bearer" });
        case "/v2/access-tokens/desktop-generate": {
          if (request.headers.get("authorization") !== `Bearer ${jwt}`)
            return new Response("", { status: 401 });
          return Response.json({ data: { token: "dckr_pat_1" } }, { status: more.patStatus ?? 201 });
        }
        case "/oauth/revoke":
          return new Response("");
        default:
          return new Response("not found", { status: 404 });
      }
    },
  });
  const address = server.url.origin;
  return Object.assign(self, {
    address,
    asked,
    login: new DeviceLogin(config, { userAgent: "davit-test", tenant: address, hub: address }),
    [Symbol.asyncDispose]: () => server.stop(true),
  });
}

/** A browser that writes down where it was sent. */
function browser(): { path: string; opened: string } {
  const path = join(directory, "bin");
  const opened = join(directory, "opened");
  mkdirSync(path);
  writeFileSync(join(path, "xdg-open"), `#!/bin/sh\nprintf %s "$1" > ${opened}\n`);
  chmodSync(join(path, "xdg-open"), 0o755);
  return { path, opened };
}

const credentials = () => openCredentials({ configDirectory: directory, searchPath: "" });
const auths = () => JSON.parse(readFileSync(join(directory, "config.json"), "utf8")).auths;
const basic = (text: string) => ({ auth: Buffer.from(text).toString("base64") });

describe("a login with a browser", () => {
  test("shows the code, opens a browser, and comes back with a personal access token", async () => {
    await using hub = tenant();
    const { path, opened } = browser();
    const fake = fakeIo({
      stdin: ["\n"],
      terminal: { width: 80, height: 24 },
      env: { PATH: `${path}:/usr/bin:/bin`, NO_COLOR: "1" },
    });
    const session = { io: fake.io, program: "davit", credentials: credentials() };
    const login = logInWithBrowser(session, hub.login);
    await until(async () => existsSync(opened) && readFileSync(opened, "utf8") !== "");
    hub.answer = "agrees";
    expect(await login).toEqual({ username: "alice", password: "dckr_pat_1", serveraddress: hubKey });
    expect(readFileSync(opened, "utf8")).toBe(`${hub.address}/activate?user_code=ABCD-EFGH`);
    expect(fake.stderr).toBe(
      "\nUSING WEB-BASED LOGIN\n" +
        "\n Info -> To sign in with credentials on the command line, use 'davit login -u <username>'\n         \n" +
        "\nYour one-time device confirmation code is: ABCD-EFGH\n" +
        `Press ENTER to open your browser or submit your device code here: ${hub.address}/activate\n` +
        "\nWaiting for authentication in the browser…\n",
    );
    const [code, ...others] = hub.asked;
    const audience = encodeURIComponent(hub.address);
    expect(code).toBe(
      `POST /oauth/device/code client_id=${clientId}&audience=${audience}&scope=openid+offline_access`,
    );
    const grant = encodeURIComponent("urn:ietf:params:oauth:grant-type:device_code");
    expect(others[0]).toBe(
      `POST /oauth/token client_id=${clientId}&grant_type=${grant}&device_code=device-secret`,
    );
    expect(others.at(-1)).toStartWith("POST /v2/access-tokens/desktop-generate");
  });

  test("keeps its tokens where docker keeps them, and they are no password for Docker Hub", async () => {
    await using hub = tenant();
    hub.answer = "agrees";
    const fake = fakeIo({ terminal: { width: 80, height: 24 } });
    await logInWithBrowser({ io: fake.io, program: "davit", credentials: credentials() }, hub.login);
    expect(auths()).toEqual({
      [`${hubKey}access-token`]: basic(
        `alice:${(await credentials().get(`${hubKey}access-token`))?.password}`,
      ),
      [`${hubKey}refresh-token`]: basic(`alice:refresh-secret..${clientId}`),
    });
    expect(await credentials().get("docker.io")).toBeUndefined();

    await credentials().store({ username: "alice", password: "dckr_pat_1", serveraddress: hubKey });
    await logOutOfBrowser(credentials(), async () => hub.login);
    expect(hub.asked.at(-1)).toBe(`POST /oauth/revoke client_id=${clientId}&token=refresh-secret`);
    expect(auths()).toEqual({ [hubKey]: basic("alice:dckr_pat_1") });
    hub.asked.length = 0;
    await logOutOfBrowser(credentials(), async () => hub.login);
    expect(hub.asked).toEqual([]);
  });

  test("that is refused, or that nobody answers, says so and keeps nothing", async () => {
    for (const [answer, lifetime, words] of [
      ["refuses", 60, "failed waiting for authentication: the user said no"],
      ["nothing yet", 1, "failed waiting for authentication: timed out waiting for device token"],
    ] as const) {
      await using hub = tenant({ lifetime });
      hub.answer = answer;
      const fake = fakeIo({ terminal: { width: 80, height: 24 } });
      const session = { io: fake.io, program: "davit", credentials: credentials() };
      await expect(logInWithBrowser(session, hub.login)).rejects.toThrow(words);
      expect(existsSync(join(directory, "config.json"))).toBe(false);
    }
    await using hub = tenant({ patStatus: 500 });
    hub.answer = "agrees";
    const fake = fakeIo({ terminal: { width: 80, height: 24 } });
    const session = { io: fake.io, program: "davit", credentials: credentials() };
    await expect(logInWithBrowser(session, hub.login)).rejects.toThrow("unexpected response from Hub: 500");
  });

  test("that cannot begin gives way to user and password", async () => {
    await using hub = tenant({ codeStatus: 502 });
    const fake = fakeIo({ terminal: { width: 80, height: 24 } });
    const session = { io: fake.io, program: "davit", credentials: credentials() };
    expect(await logInWithBrowser(session, hub.login)).toBeUndefined();
    expect(fake.stderr).toBe("");

    await using davit = await newInstance({ busybox: false });
    const nobody = { HTTPS_PROXY: "http://127.0.0.1:1", DOCKER_CONFIG: directory };
    for (const [refused, before] of [
      ["", "Failed to start web-based login - falling back to command line login..."],
      ["1", "Log in with your Docker ID"],
    ] as const) {
      using terminal = openTerminal([davitBinary, "login"], {
        env: { ...davit.env, ...nobody, DOCKER_CLI_DISABLE_OAUTH_LOGIN: refused },
        columns: 120,
      });
      await terminal.see("Username: ");
      expect(terminal.screen).toStartWith(before);
      terminal.type("\n");
      await terminal.see("Error: Non-null Username Required");
      expect(await terminal.exited()).toBe(1);
    }
  });
});
