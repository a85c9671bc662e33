/** Images: load, save, import, tag, list, inspect, history, remove. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busyboxArchive, busyboxImage } from "../harness/images.ts";
import { dockerArchive } from "../images/support.ts";
import { tar } from "../images/tar.ts";
import { bytesOf, contract, expectFailure, failureOf, messagesOf, uniqueName } from "./subjects.ts";

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A tar of a directory that holds one file, `hello`. */
function smallRootfs(): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-rootfs-"));
  try {
    writeFileSync(join(directory, "hello"), "hello from import\n");
    const made = Bun.spawnSync(["tar", "-C", directory, "--owner=0", "--group=0", "-cf", "-", "."]);
    if (made.exitCode !== 0) throw new Error(made.stderr.toString());
    return made.stdout;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

contract("images", (subject) => {
  test("the loaded image is listed with its name and size", async () => {
    const rows = await subject.engine.images.list();
    const row = rows.find(({ RepoTags }) => RepoTags.includes(busyboxImage));
    expect(row?.Id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(row?.Size).toBeGreaterThan(1_000_000);
    expect(row).toMatchObject({ Created: 0, ParentId: "", RepoDigests: [], Containers: -1 });
  });

  test("what its layers do, and in what images differ, is read from their files", async () => {
    const [one, two] = [`${uniqueName("layers")}:1`, `${uniqueName("layers")}:2`];
    const base = tar([
      { name: "etc/", type: "5" },
      { name: "etc/kept", data: "kept" },
      { name: "etc/gone", data: "gone soon" },
      { name: "etc/changed", data: "before" },
    ]);
    const top = tar([
      { name: "etc/.wh.gone" },
      { name: "etc/changed", data: "after it" },
      { name: "new", data: "12345" },
    ]);
    const archive = dockerArchive({ layers: [base], tags: [one] }, { layers: [base, top], tags: [two] });
    await messagesOf(subject.engine.images.load(once(archive)));
    try {
      const layers = await subject.engine.images.layers(two);
      expect(layers.map(({ Added, Changed, Removed, Wasted }) => [Added, Changed, Removed, Wasted])).toEqual([
        [4, 0, 0, 0],
        [1, 1, 1, "gone soon".length + "before".length],
      ]);
      expect(layers.map(({ CreatedBy }) => CreatedBy)).toEqual(["step 0", "step 1"]);
      const { RootFS } = await subject.engine.images.inspect(two);
      expect(layers.map(({ DiffID }) => DiffID)).toEqual(RootFS.Layers);
      expect(await subject.engine.images.diff(one, two)).toEqual([
        { Path: "/etc/changed", Kind: "changed", SizeBefore: 6, SizeAfter: 8 },
        { Path: "/etc/gone", Kind: "removed", SizeBefore: 9, SizeAfter: 0 },
        { Path: "/new", Kind: "added", SizeBefore: 0, SizeAfter: 5 },
      ]);
      await expect(subject.engine.images.layers("nosuch-image")).rejects.toThrow();
    } finally {
      for (const name of [two, one]) await subject.engine.images.remove(name, { force: true });
    }
  });

  test("inspect tells its configuration and layers", async () => {
    const image = await subject.engine.images.inspect(busyboxImage);
    expect(image).toMatchObject({
      RepoTags: [busyboxImage],
      RepoDigests: [],
      Parent: "",
      Os: "linux",
      Architecture: process.arch === "x64" ? "amd64" : "arm64",
      Created: "1970-01-01T00:00:00Z",
    });
    expect(image.Config?.Cmd).toEqual(["sh"]);
    expect(image.Config?.Env).toEqual(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    expect(image.RootFS.Type).toBe("layers");
    expect(image.RootFS.Layers).toHaveLength(1);
    expect(image.RootFS.Layers[0]).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  test("it is found by name with and without its tag, by id and by a beginning of its id", async () => {
    const { Id } = await subject.engine.images.inspect(busyboxImage);
    const digits = Id.slice("sha256:".length);
    for (const key of [
      "davit-busybox",
      Id,
      digits,
      digits.slice(0, 12),
      "docker.io/library/davit-busybox:latest",
    ]) {
      expect((await subject.engine.images.inspect(key)).Id).toBe(Id);
    }
  });

  test("history has an entry for each step", async () => {
    const history = await subject.engine.images.history(busyboxImage);
    const { Id } = await subject.engine.images.inspect(busyboxImage);
    expect(history).toHaveLength(1);
    expect(history[0]).toMatchObject({
      Id,
      Created: 0,
      CreatedBy: "busybox-static",
      Tags: [busyboxImage],
      Comment: "",
    });
    expect(history[0]?.Size).toBeGreaterThan(1_000_000);
  });

  test("a tag is another name for the same image, and moves", async () => {
    const { images } = subject.engine;
    const name = uniqueName("tagged");
    const { Id } = await images.inspect(busyboxImage);
    await images.tag(busyboxImage, `${name}:one`);
    await images.tag(Id, name);
    expect((await images.inspect(`${name}:one`)).Id).toBe(Id);
    expect((await images.inspect(`${name}:latest`)).RepoTags.toSorted()).toEqual(
      [busyboxImage, `${name}:one`, `${name}:latest`].toSorted(),
    );
    // Taking a name away leaves the image while it has another.
    expect(await images.remove(`${name}:one`)).toEqual([{ Untagged: `${name}:one` }]);
    expect(await images.remove(name)).toEqual([{ Untagged: `${name}:latest` }]);
    expect((await images.inspect(busyboxImage)).RepoTags).toEqual([busyboxImage]);
  });

  test("a name with a registry and a port is kept", async () => {
    const { images } = subject.engine;
    const name = `registry.example:5000/team/${uniqueName("app")}:v1`;
    await images.tag(busyboxImage, name);
    expect((await images.inspect(busyboxImage)).RepoTags).toContain(name);
    await images.remove(name);
  });

  test.each(["UPPER", "a b", "a:b:c", "a@sha256:abc", "-a", `${"x".repeat(300)}`])(
    "%j is no name",
    async (name) => {
      const failure = await failureOf(subject.engine.images.tag(busyboxImage, name));
      // Docker 20.10 says that it is the server's fault.
      expect(failure.kind).toBe(subject.name === "docker" ? "system" : "invalid");
      expect(failure.message.length).toBeGreaterThan(0);
    },
  );

  test("missing images are named", async () => {
    const { images } = subject.engine;
    await expectFailure(
      images.inspect("nope"),
      "notFound",
      "No such image: nope:latest",
      "no such image: nope: No such image: nope:latest",
    );
    await expectFailure(
      images.inspect("nope:v1"),
      "notFound",
      "No such image: nope:v1",
      "no such image: nope:v1: No such image: nope:v1",
    );
    await expectFailure(images.history("nope"), "notFound", "No such image: nope:latest");
    await expectFailure(images.tag("nope", "other"), "notFound", "No such image: nope:latest");
    await expectFailure(images.remove("nope"), "notFound", "No such image: nope:latest");
  });

  test("filters: reference, dangling, label, before, since", async () => {
    const { images } = subject.engine;
    const name = uniqueName("filter");
    await messagesOf(
      images.import(once(smallRootfs()), { reference: `${name}:v1`, changes: ["LABEL role=web"] }),
    );
    try {
      const found = async (filters: Record<string, string[]>): Promise<string[]> =>
        (await images.list({ filters })).flatMap(({ RepoTags }) => RepoTags);
      expect(await found({ reference: [name] })).toEqual([`${name}:v1`]);
      expect(await found({ reference: ["filter-*:v?"] })).toEqual([`${name}:v1`]);
      expect(await found({ reference: ["davit-busybox"] })).toEqual([busyboxImage]);
      expect(await found({ label: ["role"] })).toEqual([`${name}:v1`]);
      expect(await found({ label: ["role=db"] })).toEqual([]);
      expect(await found({ since: [busyboxImage] })).toEqual([`${name}:v1`]);
      expect(await found({ before: [`${name}:v1`] })).toEqual([busyboxImage]);
      expect(await found({ dangling: ["true"] })).toEqual([]);
      await expectFailure(images.list({ filters: { nope: ["x"] } }), "invalid", /^invalid filter '?nope'?$/i);
    } finally {
      await images.remove(`${name}:v1`);
    }
  });

  test("an image that a container uses is not removed without force", async () => {
    const { images } = subject.engine;
    const name = uniqueName("used");
    await messagesOf(images.import(once(smallRootfs()), { reference: name, changes: ['CMD ["/hello"]'] }));
    const { Id } = await images.inspect(name);
    const container = await subject.create({ Image: name });
    const short = container.id.slice(0, 12);
    await expectFailure(
      images.remove(name),
      "conflict",
      `conflict: unable to remove repository reference "${name}" (must force) - container ${short} is using its referenced image ${Id.slice(7, 19)}`,
    );
    await expectFailure(
      images.remove(Id),
      "conflict",
      `conflict: unable to delete ${Id.slice(7, 19)} (must be forced) - image is being used by stopped container ${short}`,
    );
    // By force the name goes, and the image when nothing runs from it.
    const removed = await images.remove(name, { force: true });
    expect(removed).toContainEqual({ Untagged: `${name}:latest` });
    expect(removed).toContainEqual({ Deleted: Id });
    await subject.engine.containers.remove(container.id);
  });

  test("an image with two names is not removed by id without force", async () => {
    const { images } = subject.engine;
    const name = uniqueName("two");
    await messagesOf(images.import(once(smallRootfs()), { reference: name }));
    await images.tag(name, `${name}:other`);
    const { Id } = await images.inspect(name);
    await expectFailure(
      images.remove(Id),
      "conflict",
      `conflict: unable to delete ${Id.slice(7, 19)} (must be forced) - image is referenced in multiple repositories`,
    ).catch(async (error: unknown) => {
      // Two tags of one repository are no conflict: all go.
      const failure = await failureOf(images.inspect(Id));
      if (failure.kind !== "notFound") throw error;
    });
    await images.remove(Id, { force: true }).catch((error: unknown) => {
      expect(String(error)).toContain("No such image");
    });
    expect((await failureOf(images.inspect(name))).kind).toBe("notFound");
  });
});

contract("image archives", (subject) => {
  test("save and load give the same image back, also under two names", async () => {
    const { images } = subject.engine;
    const name = uniqueName("saved");
    await messagesOf(
      images.import(once(smallRootfs()), {
        reference: name,
        changes: ["ENV A=1", "WORKDIR /w", 'CMD ["x"]'],
      }),
    );
    await images.tag(name, `${name}:two`);
    const before = await images.inspect(name);
    const archive = await bytesOf(images.save([name, `${name}:two`]));
    await images.remove(`${name}:two`);
    await images.remove(name);
    expect((await failureOf(images.inspect(before.Id))).kind).toBe("notFound");

    const messages = await messagesOf(images.load(once(archive)));
    const said = messages.flatMap(({ stream }) => (stream === undefined ? [] : [stream.trim()]));
    expect(said.toSorted()).toEqual([`Loaded image: ${name}:latest`, `Loaded image: ${name}:two`]);
    const after = await images.inspect(name);
    expect([after.Id, after.RootFS, after.Config?.Env]).toEqual([
      before.Id,
      before.RootFS,
      before.Config?.Env,
    ]);
    await images.remove(`${name}:two`);
    await images.remove(name);
  });

  test("an image saved by its id is loaded without a name", async () => {
    const { images } = subject.engine;
    const name = uniqueName("nameless");
    await messagesOf(images.import(once(smallRootfs()), { reference: name }));
    const { Id } = await images.inspect(name);
    const archive = await bytesOf(images.save([Id]));
    await images.remove(name);
    const messages = await messagesOf(images.load(once(archive)));
    expect(messages.map(({ stream }) => stream?.trim())).toContain(`Loaded image ID: ${Id}`);
    expect((await images.inspect(Id)).RepoTags).toEqual([]);
    expect((await images.list({ filters: { dangling: ["true"] } })).map((row) => row.Id)).toEqual([Id]);
    await images.remove(Id);
  });

  const compressions: [string, (bytes: Buffer) => Uint8Array][] = [
    ["gzip", (bytes) => Bun.gzipSync(Uint8Array.from(bytes))],
  ];
  // Docker 20.10 does not know zstd.
  if (subject.name !== "docker") compressions.push(["zstd", (bytes) => Bun.zstdCompressSync(bytes)]);
  test.each(compressions)("an archive compressed with %s loads", async (format, compress) => {
    const { images } = subject.engine;
    const name = uniqueName(format);
    await messagesOf(images.import(once(smallRootfs()), { reference: name }));
    const { Id } = await images.inspect(name);
    const archive = await bytesOf(images.save([name]));
    await images.remove(name);
    const packed = compress(archive);
    expect(packed.length).toBeLessThan(archive.length);
    await messagesOf(images.load(once(packed)));
    expect((await images.inspect(name)).Id).toBe(Id);
    await images.remove(name);
  });

  test("loading what is there already changes nothing", async () => {
    const { images } = subject.engine;
    const before = await images.inspect(busyboxImage);
    const messages = await messagesOf(
      images.load(Bun.file(await busyboxArchive()).stream(), { quiet: true }),
    );
    expect(messages.at(-1)?.stream).toBe(`Loaded image: ${busyboxImage}\n`);
    expect((await images.inspect(busyboxImage)).Id).toBe(before.Id);
  });

  test("import makes an image with one layer and the changes", async () => {
    const { images } = subject.engine;
    const name = uniqueName("imported");
    const messages = await messagesOf(
      images.import(once(smallRootfs()), {
        reference: `${name}:v2`,
        message: "by hand",
        changes: [
          "ENV A=1 B=2",
          'ENTRYPOINT ["/e"]',
          "CMD x",
          "WORKDIR /w",
          "USER 1000",
          "LABEL k=v",
          "EXPOSE 80",
          "VOLUME /v",
        ],
      }),
    );
    const image = await images.inspect(`${name}:v2`);
    expect(messages.at(-1)?.status).toBe(image.Id);
    expect(image).toMatchObject({ Comment: "by hand", Os: "linux" });
    expect(image.RootFS.Layers).toHaveLength(1);
    expect(image.Config).toMatchObject({
      Env: ["A=1", "B=2"],
      Entrypoint: ["/e"],
      Cmd: ["/bin/sh", "-c", "x"],
      WorkingDir: "/w",
      User: "1000",
      Labels: { k: "v" },
      ExposedPorts: { "80/tcp": {} },
      Volumes: { "/v": {} },
    });
    await images.remove(`${name}:v2`);
  });

  test("a change that makes no sense is refused", async () => {
    const failure = await failureOf(
      messagesOf(
        subject.engine.images.import(once(smallRootfs()), { reference: uniqueName(), changes: ["NOPE x"] }),
      ),
    );
    expect(failure.message.toLowerCase()).toContain("nope");
  });

  test("a broken archive is refused and leaves nothing behind", async () => {
    const { images } = subject.engine;
    const before = (await images.list({ all: true })).map((row) => row.Id);
    const archive = Buffer.from(await Bun.file(await busyboxArchive()).bytes());
    const broken = [
      Buffer.from("this is no archive at all"),
      archive.subarray(0, 1000),
      archive.subarray(0, archive.length / 2),
    ];
    for (const bytes of broken) {
      const failure = await failureOf(messagesOf(images.load(once(bytes))));
      expect(failure.message.length).toBeGreaterThan(0);
    }
    expect((await images.list({ all: true })).map((row) => row.Id)).toEqual(before);
  });

  test("saving what is not there fails", async () => {
    await expectFailure(
      bytesOf(subject.engine.images.save(["nope"])),
      "notFound",
      "No such image: nope:latest",
      {
        words: "No such image: nope",
      },
    );
  });
});
