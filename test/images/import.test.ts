import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { ContainerConfig } from "../../src/core/objects.ts";
import { applyChanges } from "../../src/images/changes.ts";
import { imageHistory } from "../../src/images/history.ts";
import { type ImportRequest, importImage } from "../../src/images/import.ts";
import { inspectImage } from "../../src/images/inspect.ts";
import { resolveImage } from "../../src/images/resolve.ts";
import { expectEmpty, sha256, streamOf, type TestStore, testStore } from "./support.ts";
import { tar } from "./tar.ts";

const root = tar([
  { name: "etc/", type: "5" },
  { name: "etc/motd", data: "hello" },
]);

async function importInto(store: TestStore, bytes: Uint8Array, request: ImportRequest): Promise<string> {
  const messages = await Array.fromAsync(importImage(store, streamOf(bytes), request));
  return messages.at(-1)?.status ?? "";
}

for (const [name, pack] of [
  ["plain", (bytes: Uint8Array) => bytes],
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
] as const) {
  test(`a ${name} tar of a root file system becomes an image of one layer`, async () => {
    await using store = testStore();
    const id = await importInto(store, pack(root), {
      reference: "fresh:1",
      message: "made by hand",
      changes: ['CMD ["cat", "/etc/motd"]', "ENV A=1 B='two words'"],
    });
    const image = await inspectImage(store, "fresh:1");
    expect(image).toMatchObject({
      Id: id,
      Comment: "made by hand",
      Os: "linux",
      Config: { Cmd: ["cat", "/etc/motd"], Env: ["A=1", "B=two words"] },
      RootFS: { Type: "layers", Layers: [`sha256:${sha256(root)}`] },
      Size: 5,
    });
    expect(imageHistory(store, "fresh:1")).toMatchObject([{ Id: id, Comment: "made by hand", Size: 5 }]);
    await store.snapshots.prepare("c", resolveImage(store.state, store.content, id).topChainId);
    expect(readFileSync(join(await store.snapshots.mount("c"), "etc/motd"), "utf8")).toBe("hello");
    await store.snapshots.unmount("c");
  });
}

test("an import without a name is found by the id that it gives", async () => {
  await using store = testStore();
  const id = await importInto(store, root, { platform: "linux/arm64/v8" });
  expect(await inspectImage(store, id)).toMatchObject({
    RepoTags: [],
    Architecture: "arm64",
    Variant: "v8",
    Comment: "Imported from -",
  });
});

const refused: [what: string, bytes: Uint8Array, request: ImportRequest, message: string | RegExp][] = [
  ["a bad name", root, { reference: "Bad" }, /must be lowercase$/],
  ["a digest as a name", root, { reference: `x@sha256:${"0".repeat(64)}` }, "cannot import digest reference"],
  ["an unknown instruction", root, { changes: ["RUN true"] }, "RUN is not a valid change command"],
  ["a bad platform", root, { platform: "linux/a/b/c" }, "cannot parse platform specifier"],
  ["a tar that is cut short", root.subarray(0, 1200), {}, /unexpected EOF/],
  ["what is no tar", Buffer.from("no tar ".repeat(300)), {}, /./],
];
describe("refused, with nothing left", () => {
  test.each(refused)("%s", async (_, bytes, request, message) => {
    await using store = testStore();
    await expect(importInto(store, bytes, request)).rejects.toThrow(message);
    await expectEmpty(store);
  });
});

describe("changes mean what they mean in a Dockerfile", () => {
  const cases: [changes: string[], config: ContainerConfig][] = [
    [["CMD echo $HOME"], { Cmd: ["/bin/sh", "-c", "echo $HOME"] }],
    [['ENTRYPOINT ["/init", "-x"]', 'CMD ["y"]'], { Entrypoint: ["/init", "-x"], Cmd: ["y"] }],
    [["cmd [not json"], { Cmd: ["/bin/sh", "-c", "[not json"] }],
    [["ENV A=1 B=2", "ENV A=3", "ENV C a b c"], { Env: ["A=3", "B=2", "C=a b c"] }],
    [
      ["ENV A=1", `ENV B="$A-\${A}-\${X:-d}-\${A:+s}" C='$A' D=\\$A`],
      { Env: ["A=1", "B=1-1-d-s", "C=$A", "D=$A"] },
    ],
    [['LABEL a=b "c d"="e f"'], { Labels: { a: "b", "c d": "e f" } }],
    [
      ["EXPOSE 80 53/udp 8000-8001"],
      { ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {} } },
    ],
    [["VOLUME /a /b", 'VOLUME ["/c d"]'], { Volumes: { "/a": {}, "/b": {}, "/c d": {} } }],
    [["USER me:us"], { User: "me:us" }],
    [["WORKDIR /a", "WORKDIR b/../c"], { WorkingDir: "/a/c" }],
    [["STOPSIGNAL SIGQUIT"], { StopSignal: "SIGQUIT" }],
    [["ONBUILD RUN make"], { OnBuild: ["RUN make"] }],
    [["HEALTHCHECK NONE"], { Healthcheck: { Test: ["NONE"] } }],
    [
      ["HEALTHCHECK --interval=1m30s --retries=3 CMD curl localhost"],
      { Healthcheck: { Test: ["CMD-SHELL", "curl localhost"], Interval: 90e9, Retries: 3 } },
    ],
    [['HEALTHCHECK CMD ["a", "b"]'], { Healthcheck: { Test: ["CMD", "a", "b"] } }],
  ];
  test.each(cases)("%j", (changes, config) => {
    expect(applyChanges({}, changes)).toEqual(config);
  });

  const faults: [change: string, message: string][] = [
    ["", "(empty) is not a valid change command"],
    ["FROM x", "FROM is not a valid change command"],
    ["ENV A", "ENV must have two arguments"],
    ["ENV A=1 B", 'Syntax error - can\'t find = in "B". Must be of the form: name=value'],
    ["EXPOSE http", "Invalid containerPort: http"],
    ["EXPOSE 70000", "Invalid containerPort: 70000"],
    ["USER", "USER requires at least one argument"],
    ["ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"],
    ["HEALTHCHECK --retries=0 CMD x", "--retries must be at least 1 (not 0)"],
    ["HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"],
    ['ENV A="x', 'unexpected end of statement while looking for matching "'],
  ];
  test.each(faults)("%j is refused", (change, message) => {
    expect(() => applyChanges({}, [change])).toThrow(message);
  });
});
