/** login and logout at a keyboard, with files and with credential helpers, against a registry that asks for them. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type DockerRegistry,
  missingForDockerRegistry,
  startDockerRegistry,
} from "../harness/docker-registry.ts";
import { type DavitInstance, davitBinary, newInstance, type RunOptions } from "../harness/instance.ts";
import { openTerminal } from "../harness/pty.ts";

const missing = missingForDockerRegistry();
if (missing !== undefined) console.error(`SKIPPED: login and logout: ${missing}`);
setDefaultTimeout(60_000);

const user = { name: "alice", password: "pass word, längs" };
const insecureWarning = "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n";

describe.skipIf(missing !== undefined)("credentials", () => {
  let davit: DavitInstance;
  let registry: DockerRegistry;
  let config: string;

  beforeAll(async () => {
    [davit, registry] = await Promise.all([newInstance(), startDockerRegistry({ user })]);
    config = join(davit.directory, "docker-config");
  });

  afterAll(async () => {
    await davit?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
  });

  beforeEach(() => rmSync(config, { recursive: true, force: true }));

  const run = (args: readonly string[], options: RunOptions = {}) =>
    davit.run(args, { ...options, env: { DOCKER_CONFIG: config, ...options.env } });
  const kept = (): unknown => JSON.parse(readFileSync(join(config, "config.json"), "utf8"));
  const inTerminal = (args: readonly string[], env: Record<string, string> = {}) =>
    openTerminal(args, { env: { ...davit.env, DOCKER_CONFIG: config, ...env }, columns: 100 });

  test("a person is asked for both, and the password is not shown", async () => {
    using terminal = inTerminal([davitBinary, "login", registry.host]);
    await terminal.see("Username: ");
    terminal.type("alice\n");
    await terminal.see("Password: ");
    terminal.type(`${user.password}\n`);
    await terminal.see("Login Succeeded");
    expect(await terminal.exited()).toBe(0);
    expect(terminal.screen).toBe(
      `Username: alice\r\nPassword: \r\n\r\nWARNING! Your credentials are stored unencrypted in '${config}/config.json'.\r\n` +
        "Configure a credential helper to remove this warning. See\r\n" +
        "https://docs.docker.com/go/credential-store/\r\n\r\nLogin Succeeded\r\n",
    );
    const auth = Buffer.from(`${user.name}:${user.password}`).toString("base64");
    expect(kept()).toEqual({ auths: { [registry.host]: { auth } } });
    expect(statSync(join(config, "config.json")).mode & 0o777).toBe(0o600);
  });

  test("a name or a password that was given is not asked for", async () => {
    using byName = inTerminal([davitBinary, "login", "-u", user.name, registry.host]);
    await byName.see("Password: ");
    expect(byName.screen).toBe("Password: ");
    byName.type(`${user.password}\n`);
    expect(await byName.exited()).toBe(0);
    using again = inTerminal([davitBinary, "login", registry.host]);
    await again.see("Authenticating with existing credentials... [Username: alice]");
    await again.see("Login Succeeded");
    expect(again.screen).toContain("run 'davit logout' followed by 'davit login'");
    expect(await again.exited()).toBe(0);
  });

  test("what was kept and no longer serves is asked for anew", async () => {
    mkdirSync(config);
    const auth = Buffer.from("alice:old").toString("base64");
    writeFileSync(
      join(config, "config.json"),
      JSON.stringify({ auths: { [registry.host]: { auth } }, other: 1 }),
    );
    using terminal = inTerminal([davitBinary, "login", registry.host]);
    await terminal.see("Stored credentials invalid or expired");
    await terminal.see("Username (alice): ");
    terminal.type("\n");
    await terminal.see("Password: ");
    terminal.type(`${user.password}\n`);
    await terminal.see("Login Succeeded");
    expect(kept()).toMatchObject({ other: 1 });
  });

  test.each([
    ["\n", "Error: Non-null Username Required"],
    ["alice\n\n", "Error: Password Required"],
  ])("an empty answer ends it: %j", async (keys, words) => {
    using terminal = inTerminal([davitBinary, "login", registry.host]);
    await terminal.see("Username: ");
    terminal.type(keys);
    await terminal.see(words);
    expect(await terminal.exited()).toBe(1);
    expect(existsSync(config)).toBe(false);
  });

  test("the terminal shows what is typed again after Ctrl-C at the password", async () => {
    const script = `before=$(stty -g); "$0" "$@"; echo "ended with $?"; [ "$before" = "$(stty -g)" ] && echo the same`;
    using terminal = inTerminal([
      "sh",
      "-c",
      `trap : INT; ${script}`,
      davitBinary,
      "login",
      "-u",
      "a",
      registry.host,
    ]);
    await terminal.see("Password: ");
    terminal.type("secret\x03");
    await terminal.see("ended with 130");
    await terminal.see("the same");
    expect(terminal.screen).not.toContain("secret");
  });

  test("without a terminal both must be given", async () => {
    const refused = {
      code: 1,
      stdout: "",
      stderr: "Error: Cannot perform an interactive login from a non TTY device\n",
    };
    expect(await run(["login", registry.host])).toEqual(refused);
    expect(await run(["login", "-u", "alice", registry.host])).toEqual(refused);
    expect(await run(["login", "-p", "x", registry.host])).toEqual({
      ...refused,
      stderr: insecureWarning + refused.stderr,
    });
  });

  test("a wrong password is the registry's refusal, and nothing is kept", async () => {
    const outcome = await run(["login", "-u", "alice", "--password-stdin", registry.host], {
      stdin: "wrong\n",
    });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/^Error response from daemon: .*401 Unauthorized\n$/);
    expect(existsSync(config)).toBe(false);
  });

  test("push and pull use what login kept, until logout", async () => {
    const name = `${registry.host}/tools/busybox:1`;
    await davit.output(["tag", "davit-busybox", name]);
    expect((await run(["push", name])).stderr).toContain("no basic auth credentials\n");
    const args = ["login", "--username", user.name, "--password-stdin", registry.host];
    expect((await run(args, { stdin: user.password })).stdout).toBe("Login Succeeded\n");
    expect((await run(["push", name])).code).toBe(0);
    await davit.output(["rmi", name]);
    expect((await run(["pull", "-q", name])).stdout).toBe(`${name}\n`);
    expect((await run(["logout", registry.host])).stdout).toBe(
      `Removing login credentials for ${registry.host}\n`,
    );
    expect(kept()).toEqual({ auths: {} });
    expect((await run(["pull", name])).stderr).toContain("no basic auth credentials");
    await davit.output(["rmi", name]);
  });

  test("--config names another directory", async () => {
    const other = join(davit.directory, "other-config");
    const args = ["--config", other, "login", "-u", user.name, "-p", user.password, registry.host];
    expect((await run(args)).code).toBe(0);
    expect(existsSync(join(other, "config.json"))).toBe(true);
    expect(existsSync(config)).toBe(false);
  });

  test("a credential helper keeps the password, and config.json only says so", async () => {
    const programs = join(davit.directory, "programs");
    const store = join(davit.directory, "kept");
    mkdirSync(programs);
    mkdirSync(store);
    // One file for each server, as `pass` keeps them.
    writeFileSync(
      join(programs, "docker-credential-files"),
      `#!/bin/sh
read -r first
name() { echo "$1" | tr -c 'a-zA-Z0-9\\n' _; }
case $1 in
  store) echo "$first" >"${store}/$(name "$(echo "$first" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/')")" ;;
  get) cat "${store}/$(name "$first")" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
  erase) rm "${store}/$(name "$first")" ;;
  list) echo "{}" ;;
esac
`,
      { mode: 0o755 },
    );
    mkdirSync(config);
    writeFileSync(join(config, "config.json"), JSON.stringify({ credsStore: "files" }));
    const options = { env: { PATH: `${programs}:${process.env.PATH}` } };
    const login = await run(["login", "-u", user.name, "-p", user.password, registry.host], options);
    expect(login).toEqual({ code: 0, stdout: "Login Succeeded\n", stderr: insecureWarning });
    expect(kept()).toEqual({ credsStore: "files", auths: { [registry.host]: {} } });
    const again = await run(["login", registry.host], options);
    expect(again.stdout).toBe("Login Succeeded\n");
    expect((await run(["logout", registry.host], options)).code).toBe(0);
    expect(kept()).toEqual({ credsStore: "files", auths: {} });
    expect((await run(["login", registry.host], options)).code).toBe(1);
  });

  test("a config.json that cannot be read is named", async () => {
    mkdirSync(config);
    writeFileSync(join(config, "config.json"), "{ not json");
    const outcome = await run(["pull", registry.host]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain(join(config, "config.json"));
  });
});
