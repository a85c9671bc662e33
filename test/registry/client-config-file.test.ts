import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { InvalidParameter } from "../../src/core/errors.ts";
import { checkInsecure, checkMirror, readRegistryConfig } from "../../src/registry/config-file.ts";
import { scratch } from "./client-support.ts";

function read(text: string, environment: Record<string, string> = {}) {
  using directory = scratch();
  const path = join(directory.path, "daemon.json");
  writeFileSync(path, text);
  return readRegistryConfig({ files: [join(directory.path, "missing.json"), path], environment });
}

test("nothing configured is nothing but the usual directories", () => {
  expect(readRegistryConfig({ files: ["/nonexistent/daemon.json"], environment: {} })).toEqual({
    mirrors: [],
    insecure: [],
    certificateDirectories: ["/etc/davit/certs.d", "/etc/docker/certs.d"],
    proxies: {},
  });
  expect(read("").mirrors).toEqual([]);
});

test("mirrors and insecure registries are read, and other keys left alone", () => {
  const config = read(`{
    "debug": true,
    "registry-mirrors": ["https://mirror.example", "http://other.example:5000/"],
    "insecure-registries": ["registry.example:5000", "10.0.0.0/8", "http://scheme.example"]
  }`);
  expect(config.mirrors).toEqual(["https://mirror.example/", "http://other.example:5000/"]);
  expect(config.insecure).toEqual(["registry.example:5000", "10.0.0.0/8", "scheme.example"]);
});

test("a later file's key replaces an earlier one's", () => {
  using directory = scratch();
  const [first, second] = [join(directory.path, "a.json"), join(directory.path, "b.json")];
  writeFileSync(first, `{"registry-mirrors": ["https://a.example"], "insecure-registries": ["a.example"]}`);
  writeFileSync(second, `{"registry-mirrors": ["https://b.example"]}`);
  const config = readRegistryConfig({ files: [first, second], environment: {} });
  expect(config.mirrors).toEqual(["https://b.example/"]);
  expect(config.insecure).toEqual(["a.example"]);
});

test("proxies come from the environment in either case, the upper one first", () => {
  const { proxies, certificateFile } = read("{}", {
    HTTP_PROXY: "http://upper:1",
    http_proxy: "http://lower:1",
    https_proxy: "http://lower:2",
    NO_PROXY: "a,b",
    SSL_CERT_FILE: "/etc/own.pem",
  });
  expect(proxies).toEqual({ http: "http://upper:1", https: "http://lower:2", no: "a,b" });
  expect(certificateFile).toBe("/etc/own.pem");
});

test("broken JSON is told by file, line and column", () => {
  const cases: [string, string][] = [
    ["{", ":1:2:"],
    ['{"a": 1,}', ":1:9:"],
    ['{\n  "a" 1\n}', ":2:7:"],
    ["{'a': 1}", ":1:2:"],
    ['["a" "b"]', ":1:6:"],
    ["{} {}", ":1:4:"],
    ['{"a": tru}', ":1:7:"],
    ['{"a": "line\nfeed"}', ":1:7:"],
    ['{"a": [1, 2}', ":1:12:"],
  ];
  for (const [text, position] of cases) {
    expect(() => read(text)).toThrow(InvalidParameter);
    expect(() => read(text)).toThrow(`daemon.json${position} not valid JSON`);
  }
  expect(() => read("[]")).toThrow("daemon.json is not an object");
  expect(() => read('{"registry-mirrors": "x"}')).toThrow("daemon.json: registry-mirrors is not a list");
  expect(() => read('{"registry-mirrors": [1]}')).toThrow("registry-mirrors[0] is not a string");
});

test("mirrors are checked as Docker does", () => {
  expect(checkMirror("http://mirror.example")).toBe("http://mirror.example/");
  expect(checkMirror("https://127.0.0.1:5000/")).toBe("https://127.0.0.1:5000/");
  const wrong: [string, string][] = [
    ["mirror.example", 'invalid mirror: unsupported scheme "" in "mirror.example"'],
    ["%zz", 'invalid mirror: "%zz" is not a valid URI'],
    ["ftp://mirror.example", 'invalid mirror: unsupported scheme "ftp" in "ftp://mirror.example"'],
    ["https://mirror.example/path", "invalid mirror: path, query, or fragment at end of the URI"],
    ["https://mirror.example/?q", "invalid mirror: path, query, or fragment at end of the URI"],
    ["https://mirror.example/#f", "invalid mirror: path, query, or fragment at end of the URI"],
    [
      "https://user:hunter2@mirror.example",
      'invalid mirror: username/password not allowed in URI "https://user:xxxxx@mirror.example"',
    ],
  ];
  for (const [text, words] of wrong) expect(() => checkMirror(text)).toThrow(words);
  expect(() => checkMirror("https://user:hunter2@mirror.example")).not.toThrow("hunter2");
  expect(() => read('{"registry-mirrors": ["nothing"]}')).toThrow(
    "daemon.json: registry-mirrors: invalid mirror",
  );
});

test("insecure registries are hosts, addresses or ranges", () => {
  for (const text of [
    "a.example",
    "a.example:5000",
    "10.0.0.1:80",
    "10.0.0.0/8",
    "fd00::/8",
    "[::1]:5000",
    "localhost",
  ]) {
    expect(checkInsecure(text)).toBe(text);
  }
  expect(checkInsecure("https://A.example")).toBe("a.example");
  for (const text of [
    "-a.example",
    "a.example:port",
    "a.example:99999",
    "10.0.0.0/99",
    "a/b",
    "sp ace",
    "a.example:",
  ]) {
    expect(() => checkInsecure(text)).toThrow(InvalidParameter);
  }
});
