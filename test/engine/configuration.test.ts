import { describe, expect, test } from "bun:test";
import {
  cleanWorkingDirectory,
  commandLine,
  mergeConfig,
  signalNumber,
  verifyConfig,
} from "../../src/engine/local/configuration.ts";

const image = {
  Cmd: ["sh"],
  Entrypoint: ["/entry"],
  Env: ["PATH=/bin", "LANG=C"],
  User: "app",
  WorkingDir: "/srv",
  Labels: { a: "image", b: "image" },
  ExposedPorts: { "80/tcp": {} },
};

describe("a request laid over its image's config", () => {
  test("arguments replace CMD and keep ENTRYPOINT", () => {
    const config = mergeConfig({ Cmd: ["serve"] }, image);
    expect(commandLine(config)).toEqual({ path: "/entry", args: ["serve"] });
  });

  test("an entrypoint of its own drops the image's CMD", () => {
    expect(commandLine(mergeConfig({ Entrypoint: ["/mine"] }, image))).toEqual({ path: "/mine", args: [] });
  });

  test("an empty entrypoint drops the image's, and leaves its CMD out too", () => {
    expect(() => commandLine(mergeConfig({ Entrypoint: [""] }, image))).toThrow("no command specified");
    expect(commandLine(mergeConfig({ Entrypoint: [""], Cmd: ["ls"] }, image)).path).toBe("ls");
  });

  test("variables of the request come first and win", () => {
    const { Env } = mergeConfig({ Env: ["LANG=de", "X=1"] }, image);
    expect(Env).toEqual(["LANG=de", "X=1", "PATH=/bin"]);
  });

  test("a variable without a value unsets the image's", () => {
    expect(mergeConfig({ Env: ["LANG"] }, image).Env).toEqual(["PATH=/bin"]);
  });

  test("labels, ports, user and directory are joined", () => {
    const config = mergeConfig({ Labels: { a: "mine" }, ExposedPorts: { "81/tcp": {} } }, image);
    expect(config.Labels).toEqual({ a: "mine", b: "image" });
    expect(Object.keys(config.ExposedPorts ?? {})).toEqual(["80/tcp", "81/tcp"]);
    expect(config.User).toBe("app");
    expect(config.WorkingDir).toBe("/srv");
  });

  test("HostConfig and NetworkingConfig stay out of it", () => {
    expect(mergeConfig({ HostConfig: {}, NetworkingConfig: {} }, {})).not.toContainKeys([
      "HostConfig",
      "NetworkingConfig",
    ]);
  });
});

describe("what cannot be is refused in Docker's words", () => {
  test.each([
    [{ WorkingDir: "srv" }, {}, "the working directory 'srv' is invalid, it needs to be an absolute path"],
    [{ Env: ["=x"] }, {}, "invalid environment variable: =x"],
    [{ ExposedPorts: { "99999/tcp": {} } }, {}, 'invalid port: "99999/tcp"'],
    [{ StopSignal: "SIGNONE" }, {}, "invalid signal: SIGNONE"],
    [
      {},
      { AutoRemove: true, RestartPolicy: { Name: "always" as const } },
      "can't create 'AutoRemove' container with restart policy",
    ],
    [
      {},
      { RestartPolicy: { Name: "always" as const, MaximumRetryCount: 3 } },
      "invalid restart policy: maximum retry count can only be used with 'on-failure'",
    ],
  ])("%j %j", (config, host, message) => {
    expect(() => verifyConfig(config, host)).toThrow(message);
  });
});

describe("signals", () => {
  test.each([
    ["TERM", 15],
    ["SIGKILL", 9],
    ["sigusr1", 10],
    ["9", 9],
    ["RTMIN", 34],
    ["SIGRTMIN+3", 37],
    ["RTMAX-1", 63],
  ])("%s is %d", (name, number) => expect(signalNumber(name)).toBe(number));

  test.each(["0", "65", "-1", "", "SIG", "RTMIN+40", "TERM;"])("%j is none", (name) => {
    expect(() => signalNumber(name)).toThrow("invalid signal");
  });
});

test.each([
  ["/a/../b/", "/b"],
  ["/", "/"],
  [undefined, "/"],
])("the working directory %p becomes %p", (given, clean) => expect(cleanWorkingDirectory(given)).toBe(clean));
