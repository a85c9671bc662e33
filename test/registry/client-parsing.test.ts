import { describe, expect, test } from "bun:test";
import { mediaTypes } from "../../src/images/manifest.ts";
import { isInRange } from "../../src/registry/client/addresses.ts";
import { parseChallenges } from "../../src/registry/client/challenge.ts";
import { endpointsOf, insecureCheck } from "../../src/registry/client/endpoints.ts";
import { domainOfAddress } from "../../src/registry/client/login.ts";
import { manifestTypeOf } from "../../src/registry/client/manifest-type.ts";
import { parseRetryAfter } from "../../src/registry/client/patience.ts";
import { proxyFor } from "../../src/registry/client/proxies.ts";
import { parseContentRange, parseUploadRange } from "../../src/registry/client/range.ts";
import { splitTerm } from "../../src/registry/client/search.ts";

function challenges(header: string) {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

describe("challenges", () => {
  test("a bearer challenge gives realm, service and scope", () => {
    const header =
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"';
    expect(challenges(header)).toEqual([
      [
        "bearer",
        {
          realm: "https://auth.docker.io/token",
          service: "registry.docker.io",
          scope: "repository:a/b:pull,push",
        },
      ],
    ]);
  });

  test("several challenges in one header are told apart", () => {
    expect(challenges('Basic realm="a, b", Bearer realm="x" , error=invalid_token')).toEqual([
      ["basic", { realm: "a, b" }],
      ["bearer", { realm: "x", error: "invalid_token" }],
    ]);
  });

  test("names are read without regard to case, and quotes may be escaped", () => {
    expect(challenges('BEARER Realm="say \\"hello\\"", SERVICE=plain')).toEqual([
      ["bearer", { realm: 'say "hello"', service: "plain" }],
    ]);
  });

  test("what is no challenge gives none, and never hangs", () => {
    for (const header of [
      "",
      "=",
      '"',
      'Bearer realm="unfinished',
      "\u0000",
      ",,,,",
      `Bearer ${"x=".repeat(50_000)}`,
    ]) {
      expect(parseChallenges(header).filter(({ parameters }) => parameters.has("realm"))).toEqual([]);
    }
    expect(parseChallenges(null)).toEqual([]);
  });
});

describe("proxies", () => {
  const both = { http: "http://proxy:3128", https: "http://secure-proxy:3128" };
  const at = (address: string, no?: string) =>
    proxyFor(new URL(address), no === undefined ? both : { ...both, no });

  test("each scheme has its own", () => {
    expect(at("http://a.example/")).toBe("http://proxy:3128/");
    expect(at("https://a.example/")).toBe("http://secure-proxy:3128/");
    expect(proxyFor(new URL("https://a.example/"), { https: "proxy:8080" })).toBe("http://proxy:8080/");
    expect(proxyFor(new URL("https://a.example/"), {})).toBeUndefined();
  });

  test("loopback addresses are reached directly, as in Go", () => {
    for (const address of [
      "http://localhost:5000/",
      "http://127.0.0.1/",
      "http://127.9.9.9/",
      "http://[::1]:80/",
    ]) {
      expect(at(address)).toBeUndefined();
    }
  });

  test("NO_PROXY excepts hosts, what is below them, ports, addresses and ranges", () => {
    const isDirect = (address: string, no: string) => at(address, no) === undefined;
    expect(isDirect("http://a.example/", "a.example")).toBe(true);
    expect(isDirect("http://sub.a.example/", "a.example")).toBe(true);
    expect(isDirect("http://nota.example/", "a.example")).toBe(false);
    expect(isDirect("http://a.example/", ".a.example")).toBe(false);
    expect(isDirect("http://sub.a.example/", ".a.example")).toBe(true);
    expect(isDirect("http://sub.a.example/", "*.a.example")).toBe(true);
    expect(isDirect("http://a.example:5000/", "x, A.EXAMPLE:5000")).toBe(true);
    expect(isDirect("http://a.example:5001/", "a.example:5000")).toBe(false);
    expect(isDirect("https://a.example/", "a.example:443")).toBe(true);
    expect(isDirect("http://10.1.2.3/", "10.0.0.0/8")).toBe(true);
    expect(isDirect("http://11.1.2.3/", "10.0.0.0/8")).toBe(false);
    expect(isDirect("http://10.1.2.3/", "10.1.2.3")).toBe(true);
    expect(isDirect("http://[fd00::1]/", "fd00::/8")).toBe(true);
    expect(isDirect("http://anything/", "*")).toBe(true);
    expect(isDirect("http://anything/", " , ,")).toBe(false);
  });

  test("a proxy address that is none is refused without being shown", () => {
    const secret = { http: "ftp://user:hunter2@proxy" };
    expect(() => proxyFor(new URL("http://a.example/"), secret)).toThrow("unsupported proxy scheme ftp");
    expect(() => proxyFor(new URL("http://a.example/"), secret)).not.toThrow("hunter2");
  });

  test("ranges hold addresses of their own family only", () => {
    expect(isInRange("192.168.1.1", "192.168.0.0/16")).toBe(true);
    expect(isInRange("192.168.1.1", "fd00::/8")).toBe(false);
    expect(isInRange("192.168.1.1", "192.168.0.0/33")).toBe(false);
    expect(isInRange("name", "192.168.0.0/16")).toBe(false);
    expect(isInRange("192.168.1.1", "192.168.0.0/-1")).toBe(false);
  });
});

describe("endpoints", () => {
  const addresses = async (domain: string, insecure: string[] = []) =>
    (await endpointsOf(domain, insecureCheck(insecure))).map(({ base, verify }) => `${base.href} ${verify}`);

  test("Docker Hub is registry-1.docker.io, over verified HTTPS only", async () => {
    expect(await addresses("docker.io")).toEqual(["https://registry-1.docker.io/ true"]);
    expect(await addresses("registry.example:5000")).toEqual(["https://registry.example:5000/ true"]);
  });

  test("what the list names is insecure: any certificate, then plain HTTP; loopback hosts are guessed to be plain", async () => {
    const both = (host: string) => [`https://${host}/ false`, `http://${host}/ false`];
    const guessed = (host: string) => [`http://${host}/ false`, ...both(host)];
    expect(await addresses("localhost:5000")).toEqual(guessed("localhost:5000"));
    expect(await addresses("127.8.0.1:5000")).toEqual(guessed("127.8.0.1:5000"));
    expect(await addresses("[::1]:5000")).toEqual(guessed("[::1]:5000"));
    expect(await addresses("registry.example:5000", ["registry.example:5000"])).toEqual(
      both("registry.example:5000"),
    );
    expect(await addresses("registry.example:5001", ["registry.example:5000"])).toHaveLength(1);
    expect(await addresses("10.1.2.3", ["10.0.0.0/8"])).toEqual(both("10.1.2.3"));
    expect(await addresses("11.1.2.3", ["10.0.0.0/8"])).toHaveLength(1);
    expect(await addresses("127.0.0.1.registry.example")).toHaveLength(1);
  });
});

test("login addresses are told apart by host; Docker Hub has several", () => {
  for (const address of [undefined, "", "docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"]) {
    expect(domainOfAddress(address)).toBe("docker.io");
  }
  expect(domainOfAddress("https://registry.example:5000/v2/")).toBe("registry.example:5000");
  expect(domainOfAddress("localhost:5000")).toBe("localhost:5000");
});

test("a search term may begin with a registry", () => {
  expect(splitTerm("busybox")).toEqual({ domain: "docker.io", words: "busybox" });
  expect(splitTerm("library/busybox")).toEqual({ domain: "docker.io", words: "busybox" });
  expect(splitTerm("someone/thing")).toEqual({ domain: "docker.io", words: "someone/thing" });
  expect(splitTerm("localhost/thing")).toEqual({ domain: "localhost", words: "thing" });
  expect(splitTerm("registry.example:5000/a/b")).toEqual({ domain: "registry.example:5000", words: "a/b" });
  expect(() => splitTerm("https://registry.example/x")).toThrow("should not contain a scheme");
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  expect(parseRetryAfter("7", now)).toBe(7000);
  expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:30 GMT", now)).toBe(30_000);
  expect(parseRetryAfter("Thu, 01 Jan 1970 00:00:30 GMT", now)).toBe(0);
  expect(parseRetryAfter("soon", now)).toBeUndefined();
  expect(parseRetryAfter(null, now)).toBeUndefined();
});

test("ranges of answers and uploads", () => {
  expect(parseContentRange("bytes 100-199/1000")).toEqual({ start: 100, size: 1000 });
  expect(parseContentRange("bytes 100-199/*")).toEqual({ start: 100, size: undefined });
  expect(parseContentRange("bytes */1000")).toBeUndefined();
  expect(parseContentRange("items 1-2/3")).toBeUndefined();
  expect(parseUploadRange("0-99")).toBe(100);
  expect(parseUploadRange("bytes=0-99")).toBe(100);
  expect(parseUploadRange("0-0")).toBe(0);
  expect(parseUploadRange("5-99")).toBeUndefined();
  expect(parseUploadRange(null)).toBeUndefined();
});

describe("what a manifest is", () => {
  const typeOf = (value: unknown, contentType = "") =>
    manifestTypeOf(Buffer.from(JSON.stringify(value)), contentType, "manifest");

  test("the server's word counts where it is one, else the document's, else what it looks like", () => {
    expect(typeOf({ config: {}, layers: [] }, mediaTypes.dockerManifest)).toBe(mediaTypes.dockerManifest);
    expect(typeOf({ mediaType: mediaTypes.index, manifests: [] }, "application/json")).toBe(mediaTypes.index);
    expect(typeOf({ schemaVersion: 2, config: {}, layers: [] }, "text/plain")).toBe(mediaTypes.manifest);
    expect(typeOf({ schemaVersion: 2, manifests: [] })).toBe(mediaTypes.index);
    expect(typeOf({ schemaVersion: 1, fsLayers: [] }, "application/json")).toContain("manifest.v1+json");
  });

  test("a document that can be taken for two things is refused", () => {
    expect(() => typeOf({ manifests: [], layers: [] })).toThrow("both a manifest and an index");
    expect(() => typeOf({ mediaType: mediaTypes.index, manifests: [] }, mediaTypes.manifest)).toThrow(
      "mediaType in manifest should be",
    );
    expect(() => typeOf({ manifests: [] }, mediaTypes.manifest)).toThrow("is not what its media type says");
    expect(() => typeOf({ layers: [] }, mediaTypes.index)).toThrow("is not what its media type says");
    expect(() => typeOf([1])).toThrow("is not an object");
  });
});
