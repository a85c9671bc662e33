import { describe, expect, test } from "bun:test";
import {
  canonicalForm,
  familiarForm,
  parseImageSpecifier,
  parseReference,
  withDefaultTag,
} from "../../src/images/references.ts";

const hex = "0123456789abcdef".repeat(4);

describe("a name is understood as Docker understands it", () => {
  const names: [given: string, canonical: string, familiar: string][] = [
    ["busybox", "docker.io/library/busybox:latest", "busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"],
    ["library/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
    ["docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
    ["index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"],
    ["grafana/loki:2", "docker.io/grafana/loki:2", "grafana/loki:2"],
    ["library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"],
    ["localhost/app", "localhost/app:latest", "localhost/app:latest"],
    ["localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"],
    ["ghcr.io/a/b/c:x_Y.z-1", "ghcr.io/a/b/c:x_Y.z-1", "ghcr.io/a/b/c:x_Y.z-1"],
    ["Registry/app", "Registry/app:latest", "Registry/app:latest"],
    ["[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"],
    ["a__b/c---d.e_f", "docker.io/a__b/c---d.e_f:latest", "a__b/c---d.e_f:latest"],
    [`busybox@sha256:${hex}`, `docker.io/library/busybox@sha256:${hex}`, `busybox@sha256:${hex}`],
    [`busybox:1@sha256:${hex}`, `docker.io/library/busybox:1@sha256:${hex}`, `busybox:1@sha256:${hex}`],
  ];
  test.each(names)("%s", (given, canonical, familiar) => {
    const reference = withDefaultTag(parseReference(given));
    expect(canonicalForm(reference)).toBe(canonical);
    expect(familiarForm(reference)).toBe(familiar);
    expect(canonicalForm(parseReference(canonical))).toBe(canonical);
  });
});

describe("a name that is none is refused in Docker's words", () => {
  const faults: [given: string, message: string][] = [
    ["", "invalid reference format"],
    ["Foo", "invalid reference format: repository name (library/Foo) must be lowercase"],
    ["ghcr.io/Foo/bar", "invalid reference format: repository name (Foo/bar) must be lowercase"],
    ["a//b", "invalid reference format"],
    ["-a", "invalid reference format"],
    ["a:", "invalid reference format"],
    ["a:b:c", "invalid reference format"],
    ["a b", "invalid reference format"],
    ["a:-tag", "invalid reference format"],
    [`a:${"t".repeat(129)}`, "invalid reference format"],
    ["a@sha256:abc", "invalid reference format"],
    ["../../etc/passwd", "invalid reference format"],
    ["a\n", "invalid reference format"],
    [hex, `invalid repository name (${hex}), cannot specify 64-byte hexadecimal strings`],
    ["a".repeat(256), "repository name must not be more than 255 characters"],
  ];
  test.each(faults)("%j", (given, message) => {
    expect(() => parseReference(given)).toThrow(message);
  });
});

test("hex is an id where it can be one", () => {
  expect(parseImageSpecifier(hex)).toEqual({ kind: "id", digest: `sha256:${hex}` as never });
  expect(parseImageSpecifier(`sha256:${hex}`).kind).toBe("id");
  expect(parseImageSpecifier("0123abc")).toMatchObject({ kind: "name", idPrefix: "0123abc" });
  expect(parseImageSpecifier("sha256:0123")).toMatchObject({ kind: "name", idPrefix: "0123" });
  expect(parseImageSpecifier("busybox")).toMatchObject({ kind: "name", idPrefix: undefined });
});
