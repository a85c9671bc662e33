import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../src/core/errors.ts";
import { openWorkshop, type Workshop } from "./workshop.ts";

let workshop: Workshop;
beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(async () => {
  await workshop[Symbol.asyncDispose]();
});

const base = "FROM davit-busybox\n";

describe("an image", () => {
  test("has the files, the config and the history of its Dockerfile", async () => {
    const { result } = await workshop.build(
      {
        Dockerfile: `${base}ENV GREETING=hello
WORKDIR /app
RUN echo $GREETING > said
COPY file ./copied
LABEL a=b
USER 1000
CMD ["cat", "/app/said", "/app/copied"]
`,
        file: "from the context\n",
      },
      { names: ["whole:1"] },
    );
    expect(result.names).toEqual(["whole:1"]);
    expect(await workshop.run("whole:1")).toBe("hello\nfrom the context");
    const inspected = await workshop.engine.images.inspect("whole:1");
    expect(inspected.Id).toBe(result.imageId);
    expect(inspected.Config).toMatchObject({
      User: "1000",
      WorkingDir: "/app",
      Cmd: ["cat", "/app/said", "/app/copied"],
      Labels: { a: "b" },
    });
    expect(inspected.Config?.Env).toContain("GREETING=hello");
    const history = await workshop.engine.images.history("whole:1");
    expect(history.map(({ CreatedBy }) => CreatedBy).slice(0, 7)).toEqual([
      'CMD ["cat" "/app/said" "/app/copied"]',
      "USER 1000",
      "LABEL a=b",
      "COPY file ./copied # buildkit",
      "RUN /bin/sh -c echo $GREETING > said # buildkit",
      "WORKDIR /app",
      "ENV GREETING=hello",
    ]);
  });

  test("of scratch holds only what is copied", async () => {
    await workshop.build({ Dockerfile: "FROM scratch\nCOPY a /b\n", a: "1" }, { names: ["tiny"] });
    const [layer] = await workshop.engine.images.layers("tiny");
    expect(layer).toMatchObject({ Added: 1 });
  });

  test("gets labels and annotations of the request", async () => {
    const { result } = await workshop.build(
      { Dockerfile: `${base}LABEL a=1 b=1\n` },
      { labels: { b: "2", c: "3" }, annotations: { "org.example": "yes" } },
    );
    const { Config } = await workshop.engine.images.inspect(result.imageId);
    expect(Config?.Labels).toEqual({ a: "1", b: "2", c: "3" });
    const manifest = join(
      workshop.davit.instance.dataRoot,
      "content/blobs/sha256",
      result.manifestDigest.slice(7),
    );
    expect(JSON.parse(readFileSync(manifest, "utf8")).annotations).toEqual({ "org.example": "yes" });
  });

  test("passes the check of the store", async () => {
    await workshop.build({ Dockerfile: `${base}RUN rm -r /home && mkdir /home && echo x > /etc/passwd\n` });
    expect((await workshop.davit.run(["system", "check"])).stdout).toContain("no damage found");
  });
});

describe("the same context and base", () => {
  test("give the same digest, whenever and without the cache", async () => {
    const context = workshop.context({
      Dockerfile: `${base}COPY . /src\nRUN date > /dev/null; mkdir /made; touch /made/now; cp /src/a /made\n`,
      a: "content",
    });
    const first = await workshop.build(context);
    await Bun.sleep(1100);
    const second = await workshop.build(context, { noCache: true });
    expect(second.cached.filter((name) => !name.includes("FROM"))).toEqual([]);
    expect(second.result.imageId).toBe(first.result.imageId);
  });

  test("give the time that SOURCE_DATE_EPOCH says to all that is newer", async () => {
    const files = { Dockerfile: `${base}COPY a /a\nRUN touch /b\n`, a: "" };
    await workshop.build(files, { names: ["epoch"], buildArguments: { SOURCE_DATE_EPOCH: "86400" } });
    expect(await workshop.run("epoch", "stat", "-c", "%Y", "/a", "/b")).toBe("86400\n86400");
    expect((await workshop.engine.images.inspect("epoch")).Created).toStartWith("1970-01-02T00:00:00");
  });
});

describe("the cache", () => {
  test("is used up to the line that changed", async () => {
    const files = (word: string) => ({
      Dockerfile: `${base}RUN echo 1 > /1\nRUN echo ${word} > /2\nRUN echo 3 > /3\n`,
    });
    await workshop.build(files("two"));
    expect((await workshop.build(files("two"))).ran.filter((name) => name.includes("RUN"))).toEqual([]);
    const changed = await workshop.build(files("zwei"));
    expect(changed.cached.filter((name) => name.includes("RUN"))).toEqual(["[2/4] RUN echo 1 > /1"]);
    expect(changed.ran.filter((name) => name.includes("RUN"))).toEqual([
      "[3/4] RUN echo zwei > /2",
      "[4/4] RUN echo 3 > /3",
    ]);
  });

  test("goes by files' content and mode, not by their times", async () => {
    const context = workshop.context({ Dockerfile: `${base}COPY a /a\n`, a: "1" });
    await workshop.build(context);
    utimesSync(join(context, "a"), 1000, 1000);
    expect((await workshop.build(context)).ran).not.toContain("[2/2] COPY a /a");
    writeFileSync(join(context, "a"), "2");
    expect((await workshop.build(context)).ran).toContain("[2/2] COPY a /a");
  });

  test("does not mind files that are not copied", async () => {
    const context = workshop.context({ Dockerfile: `${base}COPY a /only-a\n`, a: "1", b: "1" });
    await workshop.build(context);
    writeFileSync(join(context, "b"), "2");
    expect((await workshop.build(context)).ran).not.toContain("[2/2] COPY a /only-a");
  });

  test("is found again when another stage comes to the same files", async () => {
    const files = (word: string) => ({
      Dockerfile: `${base.trim()} AS a\nRUN echo ${word} > /log; echo same > /out\n${base}COPY --from=a /out /from-a\nRUN echo after\n`,
    });
    await workshop.build(files("one"));
    const { ran, cached } = await workshop.build(files("two"));
    expect(ran.some((name) => name.includes("echo two"))).toBe(true);
    expect(cached.some((name) => name.includes("COPY --from=a"))).toBe(true);
    expect(cached.some((name) => name.includes("RUN echo after"))).toBe(true);
  });

  test("outlives the image, and is gone after a prune", async () => {
    const files = { Dockerfile: `${base}RUN echo kept > /kept\n` };
    const { result } = await workshop.build(files, { names: ["kept"] });
    await workshop.engine.images.remove("kept");
    expect(await workshop.engine.images.list({ filters: { reference: ["kept"] } })).toEqual([]);
    const again = await workshop.build(files);
    expect(again.cached).toContain("[2/2] RUN echo kept > /kept");
    expect(again.result.imageId).toBe(result.imageId);
  });

  test("is not used with noCache, nor in stages that are named", async () => {
    const files = {
      Dockerfile: `${base.trim()} AS one\nRUN echo a > /a\nFROM one AS two\nRUN echo b > /b\n`,
    };
    await workshop.build(files);
    const filtered = await workshop.build(files, { noCacheFilter: ["two"] });
    expect(filtered.cached).toContain("[one 2/2] RUN echo a > /a");
    expect(filtered.ran).toContain("[two 1/1] RUN echo b > /b");
    expect((await workshop.build(files, { noCache: true })).ran).toContain("[one 2/2] RUN echo a > /a");
  });
});

describe("stages", () => {
  test("that the target does not need are not built", async () => {
    const { ran } = await workshop.build({
      Dockerfile: `${base.trim()} AS unused\nRUN exit 1\n${base.trim()} AS used\nRUN echo yes\n`,
    });
    expect(ran.some((name) => name.includes("exit 1"))).toBe(false);
  });

  test("end at the target", async () => {
    const files = { Dockerfile: `${base.trim()} AS first\nRUN echo 1 > /1\nFROM first\nRUN exit 1\n` };
    const { result } = await workshop.build(files, { target: "first" });
    expect(result.imageId).toStartWith("sha256:");
  });

  test("that do not need each other run side by side", async () => {
    const stage = (name: string, other: string) =>
      `${base.trim()} AS ${name}\nRUN --mount=type=cache,target=/meet touch /meet/${name}; for i in $(seq 100); do [ -e /meet/${other} ] && exit 0; sleep 0.1; done; exit 1\n`;
    const { error } = await workshop.tryBuild({
      Dockerfile: `${stage("a", "b")}${stage("b", "a")}${base}COPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n`,
    });
    expect(error).toBeUndefined();
  });

  test("give their files on with owners and modes", async () => {
    await workshop.build(
      {
        Dockerfile: `${base.trim()} AS made\nRUN mkdir /d; echo x > /d/f; chown 12:34 /d/f; chmod 4750 /d/f; ln -s f /d/l\n${base}COPY --from=made /d /e\n`,
      },
      { names: ["given"] },
    );
    expect(await workshop.run("given", "stat", "-c", "%u:%g %a", "/e/f")).toBe("12:34 4750");
    expect(await workshop.run("given", "readlink", "/e/l")).toBe("f");
  });
});

describe("RUN", () => {
  test("fails with BuildKit's words, and what it wrote before", async () => {
    const { error, output, result } = await workshop.tryBuild({
      Dockerfile: `${base}RUN echo before; exit 3\n`,
    });
    expect(messageOf(error)).toBe(
      'process "/bin/sh -c echo before; exit 3" did not complete successfully: exit code: 3',
    );
    expect(output).toBe("before\n");
    expect(result).toBeUndefined();
  });

  test("of a program that is not there says so", async () => {
    const { error } = await workshop.tryBuild({ Dockerfile: `${base}RUN ["/not/there"]\n` });
    expect(messageOf(error)).toContain("/not/there");
    expect(messageOf(error)).toContain("no such file or directory");
  });

  test("may open its output and its errors by name, also as another user", async () => {
    const { output } = await workshop.build({
      Dockerfile: `${base}USER 1000
RUN echo into the output >/dev/stdout && echo into the errors >/dev/stderr && echo at the end >>/dev/stderr
`,
    });
    for (const line of ["into the output", "into the errors", "at the end"]) expect(output).toContain(line);
  });

  test("leaves nothing of its mounts, hosts or resolver in the layer", async () => {
    await workshop.build(
      { Dockerfile: `${base}RUN --mount=type=tmpfs,target=/new/place true\n` },
      { names: ["clean"] },
    );
    const layers = await workshop.engine.images.layers("clean");
    expect(layers.at(-1)).toMatchObject({ Added: 0, Changed: 0, Removed: 0 });
  });

  test("sees a secret, which is nowhere else", async () => {
    const files = {
      Dockerfile: `${base}RUN --mount=type=secret,id=key,env=KEY,target=/run/secrets/key cat /run/secrets/key | wc -c; echo \${#KEY}\nRUN --mount=type=secret,id=key stat -c %a /run/secrets/key\n`,
    };
    const secrets = [{ id: "key", content: Buffer.from("hush-hush") }];
    const built = await workshop.build(files, { secrets, names: ["secretive"] });
    expect(built.output).toContain("9");
    expect(built.output).toContain("400");
    const grep = Bun.spawnSync([
      "grep",
      "-rlF",
      "hush-hush",
      workshop.davit.instance.dataRoot,
      workshop.davit.instance.execRoot,
    ]);
    expect(grep.stdout.toString()).toBe("");
    const other = [{ id: "key", content: Buffer.from("other") }];
    expect((await workshop.build(files, { secrets: other })).ran.some((name) => name.includes("wc -c"))).toBe(
      false,
    );
    const { error } = await workshop.tryBuild({
      Dockerfile: `${base}RUN --mount=type=secret,id=missing,required true\n`,
    });
    expect(messageOf(error)).toBe("secret missing: not found");
  });

  test("keeps a cache mount from build to build", async () => {
    const files = (word: string) => ({
      Dockerfile: `${base}RUN --mount=type=cache,id=shared,target=/cache echo ${word} >> /cache/log; cat /cache/log\n`,
    });
    await workshop.build(files("one"));
    const { output } = await workshop.build(files("two"), { names: ["cached"] });
    expect(output).toBe("one\ntwo\n");
    expect(await workshop.run("cached", "ls", "-A", "/cache").catch(() => "not there")).toBe("not there");
  });

  test("shows a stage's and the context's files where they are bound, without the context's owners", async () => {
    const { output } = await workshop.build({
      Dockerfile: `${base.trim()} AS other\nRUN echo of a stage > /file\n${base}RUN --mount=type=bind,from=other,source=/file,target=/a --mount=target=/ctx cat /a /ctx/b; touch /ctx/c || echo read-only; ls -n /ctx/b\n`,
      b: "of the context\n",
    });
    expect(output).toContain("of a stage\nof the context\n");
    expect(output).toContain("read-only");
    expect(output).toMatch(/ 0 +0 .*\/ctx\/b/);
  });

  test("has no network when it asks for none, and may not have the host's unasked", async () => {
    const { output } = await workshop.build({ Dockerfile: `${base}RUN --network=none ip -o link | wc -l\n` });
    expect(output.trim()).toBe("1");
    const { error } = await workshop.tryBuild({ Dockerfile: `${base}RUN --network=host true\n` });
    expect(messageOf(error)).toContain("network.host is not allowed");
  });

  test("reads heredocs, also as programs of their own", async () => {
    const { output } = await workshop.build({
      Dockerfile: `${base}RUN <<EOF\necho one\necho two\nEOF\nRUN <<EOF\n#!/bin/cat\nshown\nEOF\n`,
    });
    expect(output).toContain("one\ntwo\n");
    expect(output).toContain("#!/bin/cat\nshown\n");
  });

  test("that takes long ends when the build is aborted, and leaves nothing", async () => {
    const context = workshop.context({ Dockerfile: `${base}RUN echo begun; sleep 1000\n` });
    const abort = new AbortController();
    const { buildsOf } = await import("../../src/engine/build.ts");
    const request = {
      context: { kind: "directory", path: context },
      dockerfile: { kind: "in-context", path: "Dockerfile" },
      outputs: [{ kind: "store" }],
    } as const;
    let begun: number | undefined;
    let failure: unknown;
    try {
      for await (const event of buildsOf(workshop.engine).build(request, { signal: abort.signal })) {
        if (event.kind === "log") {
          begun = performance.now();
          abort.abort();
        }
      }
    } catch (error) {
      failure = error;
    }
    expect(begun).toBeDefined();
    expect(failure).toBe(abort.signal.reason);
    const mounts = readFileSync("/proc/mounts", "utf8");
    expect(mounts).not.toContain(workshop.davit.instance.dataRoot);
    expect(existsSync(join(workshop.davit.instance.execRoot, "containers", "x"))).toBe(false);
  });
});

describe("COPY and ADD", () => {
  test("take wildcards, several sources, and directories' contents", async () => {
    await workshop.build(
      {
        Dockerfile: `${base}COPY *.txt d /out/\nCOPY d/ /plain\n`,
        "a.txt": "a",
        "b.txt": "b",
        "c.md": "c",
        "d/e/f": "f",
        "d/g": "g",
      },
      { names: ["copied"] },
    );
    expect(await workshop.run("copied", "sh", "-c", "find /out /plain -type f | sort")).toBe(
      "/out/a.txt\n/out/b.txt\n/out/e/f\n/out/g\n/plain/e/f\n/plain/g",
    );
  });

  test("leave out what is ignored and excluded", async () => {
    await workshop.build(
      {
        Dockerfile: `${base}COPY --exclude=*.o . /src\n`,
        ".dockerignore": "secret\nlogs\n!logs/keep\n",
        "secret/key": "k",
        "logs/a": "a",
        "logs/keep": "k",
        "main.c": "c",
        "main.o": "o",
      },
      { names: ["ignoring"] },
    );
    expect(await workshop.run("ignoring", "sh", "-c", "cd /src; find . -type f | sort")).toBe(
      "./.dockerignore\n./Dockerfile\n./logs/keep\n./main.c",
    );
  });

  test("give owners and modes, by name and by symbol", async () => {
    await workshop.build(
      {
        Dockerfile: `${base}RUN echo 'app:x:77:88::/:/bin/sh' >> /etc/passwd; echo 'crew:x:99:' >> /etc/group\nCOPY --chown=app:crew --chmod=u+x,go-rwx a /a\nCOPY --chown=5 --chmod=640 a /new/dir/a\n`,
        a: { mode: 0o644, content: "a" },
      },
      { names: ["owned"] },
    );
    expect(await workshop.run("owned", "stat", "-c", "%u:%g %a", "/a", "/new/dir/a", "/new/dir")).toBe(
      "77:99 700\n5:5 640\n5:5 640",
    );
  });

  test("keep directories with --parents", async () => {
    await workshop.build(
      {
        Dockerfile: `${base}COPY --parents x/y/*.c x/./z/w /p/\n`,
        "x/y/a.c": "",
        "x/y/b.h": "",
        "x/z/w": "",
      },
      { names: ["parental"] },
    );
    expect(await workshop.run("parental", "sh", "-c", "cd /p; find . -type f | sort")).toBe(
      "./x/y/a.c\n./z/w",
    );
  });

  test("stay when what lies below changes, with --link", async () => {
    const files = (word: string) => ({
      Dockerfile: `${base}RUN echo ${word} > /below; mkdir -p /app/old; ln -s /etc /app/link\nCOPY --link --chown=root:9 d /app/\n`,
      "d/e/f": "f",
      "d/g": { mode: 0o600, content: "g" },
    });
    await workshop.build(files("one"), { names: ["linked-one"] });
    await workshop.build(files("two"), { names: ["linked-two"] });
    const seen = ["linked-one", "linked-two"].map((name) =>
      workshop.run(name, "sh", "-c", "cat /below /app/e/f; ls /app; stat -c '%u:%g %a' /app/g"),
    );
    expect(await Promise.all(seen)).toEqual([
      "one\nfe\ng\nlink\nold\n0:9 600",
      "two\nfe\ng\nlink\nold\n0:9 600",
    ]);
    const layers = await Promise.all(
      ["linked-one", "linked-two"].map((name) => workshop.engine.images.layers(name)),
    );
    const [one, two] = layers.map((list) => list.at(-1)?.Digest);
    expect(one).toBeDefined();
    expect(one).toBe(two);
  });

  test("write heredocs", async () => {
    await workshop.build(
      { Dockerfile: `${base}ARG WHO=you\nCOPY <<EOF <<'RAW' /here/\nhello $WHO\nEOF\nhello $WHO\nRAW\n` },
      { names: ["heredoc"] },
    );
    expect(await workshop.run("heredoc", "cat", "/here/EOF", "/here/RAW")).toBe("hello you\nhello $WHO");
  });

  test("say what is not there", async () => {
    const { error } = await workshop.tryBuild({ Dockerfile: `${base}COPY nope /\n` });
    expect(messageOf(error)).toContain('"/nope": not found');
  });

  test("unpack a tar that is added, and only copy one that is copied", async () => {
    const context = workshop.context({
      Dockerfile: `${base}ADD a.tar /added/\nCOPY a.tar /copied/\n`,
      "in/x": "x",
    });
    Bun.spawnSync(["tar", "-cf", join(context, "a.tar"), "-C", join(context, "in"), "x"]);
    rmSync(join(context, "in"), { recursive: true });
    await workshop.build(context, { names: ["unpacked"] });
    expect(await workshop.run("unpacked", "find", "/added", "/copied", "-type", "f")).toBe(
      "/added/x\n/copied/a.tar",
    );
  });

  test("fetch a URL, and refuse other bytes than the checksum's", async () => {
    using server = Bun.serve({ port: 0, fetch: () => new Response("fetched\n") });
    const url = `http://127.0.0.1:${server.port}/dir/file.txt`;
    const sum = new Bun.CryptoHasher("sha256").update("fetched\n").digest("hex");
    await workshop.build(
      { Dockerfile: `${base}ADD --checksum=sha256:${sum} ${url} /got/\n` },
      { names: ["fetching"] },
    );
    expect(await workshop.run("fetching", "cat", "/got/file.txt")).toBe("fetched");
    const { error } = await workshop.tryBuild({
      Dockerfile: `${base}ADD --checksum=sha256:${"0".repeat(64)} ${url} /got/\n`,
    });
    expect(messageOf(error)).toContain("digest mismatch");
  });

  test("never leave the context, whatever its links say", async () => {
    writeFileSync(join(workshop.davit.directory, "outside"), "outside");
    const files = {
      Dockerfile: `${base}COPY link /a\n`,
      link: { link: "../outside" },
    };
    const { error } = await workshop.tryBuild(files);
    expect(messageOf(error)).toContain("not found");
    const absolute = { Dockerfile: `${base}COPY link /a\n`, link: { link: "/etc/hostname" } };
    expect(messageOf((await workshop.tryBuild(absolute)).error)).toContain("not found");
  });

  test("never leave the image, whatever its links say", async () => {
    const outside = join(workshop.davit.directory, "target");
    await workshop.build(
      {
        Dockerfile: `${base}RUN ln -s ${workshop.davit.directory} /out && ln -s ../../../../../..${workshop.davit.directory} /up\nCOPY a /out/target\nCOPY a /up/target2\n`,
        a: "a",
      },
      { names: ["contained"] },
    );
    expect(existsSync(outside)).toBe(false);
    expect(await workshop.run("contained", "cat", outside)).toBe("a");
  });
});

describe("outputs", () => {
  test("a directory gets the files of a result", async () => {
    const directory = join(workshop.davit.directory, "exported");
    await workshop.build(
      { Dockerfile: "FROM scratch\nCOPY a /dir/b\n", a: "content" },
      { outputs: [{ kind: "local", directory }] },
    );
    expect(readFileSync(join(directory, "dir/b"), "utf8")).toBe("content");
  });

  test("a tar and archives are written as they are asked for", async () => {
    const collect = () => {
      const chunks: Uint8Array[] = [];
      return { chunks, write: async (bytes: Uint8Array) => void chunks.push(bytes.slice()) };
    };
    const [tar, oci] = [collect(), collect()];
    await workshop.build(
      { Dockerfile: "FROM scratch\nCOPY a /b\n", a: "content" },
      {
        names: ["written"],
        outputs: [
          { kind: "tar", write: tar.write },
          { kind: "archive", format: "oci", write: oci.write },
        ],
      },
    );
    const listed = Bun.spawnSync(["tar", "-t"], { stdin: Buffer.concat(tar.chunks) });
    expect(listed.stdout.toString()).toBe("b\n");
    const members = Bun.spawnSync(["tar", "-t"], { stdin: Buffer.concat(oci.chunks) }).stdout.toString();
    expect(members).toContain("index.json");
    expect(await workshop.engine.images.list({ filters: { reference: ["written"] } })).toEqual([]);
  });
});

describe("contexts", () => {
  test("come as a tar", async () => {
    const context = workshop.context({ Dockerfile: `${base}COPY a /a\n`, a: "tarred" });
    const tar = Bun.spawnSync(["tar", "-c", "-C", context, "."]).stdout;
    async function* stream() {
      yield new Uint8Array(tar);
    }
    await workshop.build("/nonexistent", { context: { kind: "tar", stream: stream() }, names: ["tarred"] });
    expect(await workshop.run("tarred", "cat", "/a")).toBe("tarred");
  });

  test("have other names too: directories and images", async () => {
    const other = workshop.context({ x: "named" });
    await workshop.build(
      { Dockerfile: "FROM davit-busybox AS first\nRUN echo image > /x\n" },
      { names: ["named-image"] },
    );
    await workshop.build(
      { Dockerfile: `${base}COPY --from=stuff x /dir\nCOPY --from=picture /x /image\n` },
      {
        names: ["contexts"],
        namedContexts: {
          stuff: { kind: "directory", path: other },
          picture: { kind: "image", reference: "named-image" },
        },
      },
    );
    expect(await workshop.run("contexts", "cat", "/dir", "/image")).toBe("namedimage");
  });
});
