/** Making containers: names, what is refused, what is kept; and listing them. */
import { expect, test } from "bun:test";
import type { ContainerSummary } from "../../src/core/objects.ts";
import type { ListContainersOptions } from "../../src/engine/engine.ts";
import { busyboxImage } from "../harness/images.ts";
import {
  type CreateRequest,
  contract,
  expectFailure,
  failureOf,
  type OlderWords,
  uniqueName,
} from "./subjects.ts";

contract("creating a container", (subject) => {
  test("it gets the name that was asked for, or one made of two words", async () => {
    const name = uniqueName();
    await using named = await subject.create({ name });
    expect((await subject.engine.containers.inspect(named.id)).Name).toBe(`/${name}`);
    await using unnamed = await subject.create();
    expect((await subject.engine.containers.inspect(unnamed.id)).Name).toMatch(/^\/[a-z]+_[a-z]+\d?$/);
  });

  test("it is found by name, full id and a beginning of its id", async () => {
    const name = uniqueName();
    await using container = await subject.create({ name });
    for (const key of [
      name,
      `/${name}`,
      container.id,
      container.id.slice(0, 12),
      container.id.slice(0, 20),
    ]) {
      expect((await subject.engine.containers.inspect(key)).Id).toBe(container.id);
    }
  });

  test("a name is taken once", async () => {
    const name = uniqueName();
    await using first = await subject.create({ name });
    await expectFailure(
      subject.create({ name }),
      "conflict",
      `Conflict. The container name "/${name}" is already in use by container "${first.id}". You have to remove (or rename) that container to be able to reuse that name.`,
    );
    await subject.engine.containers.remove(first.id);
    await using again = await subject.create({ name });
    expect(again.id).not.toBe(first.id);
  });

  test.each(["a b", "-a", "a/b", "x", "ä", "a:b"])("%j is no name", async (name) => {
    await expectFailure(
      subject.create({ name }),
      "invalid",
      `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    );
  });

  test("a missing image is named", async () => {
    await expectFailure(
      subject.create({ Image: "no-such-image" }),
      "notFound",
      "No such image: no-such-image:latest",
    );
    await expectFailure(subject.create({ Image: "no/such:tag" }), "notFound", "No such image: no/such:tag");
  });

  test("a malformed image reference is refused", async () => {
    expect((await failureOf(subject.create({ Image: "UPPER CASE" }))).kind).toBe("invalid");
  });

  test("an image can be given by id, or a beginning of it", async () => {
    const { Id } = await subject.engine.images.inspect(busyboxImage);
    for (const Image of [Id, Id.slice("sha256:".length), Id.slice("sha256:".length, 19)]) {
      await using container = await subject.create({ Image });
      const inspected = await subject.engine.containers.inspect(container.id);
      expect([inspected.Image, inspected.Config.Image]).toEqual([Id, Image]);
    }
  });

  const refusals: [request: CreateRequest, words: string | RegExp, older?: OlderWords][] = [
    [
      { WorkingDir: "relative" },
      "the working directory 'relative' is invalid, it needs to be an absolute path",
    ],
    [{ Env: ["=x"] }, "invalid environment variable: =x"],
    [{ HostConfig: { RestartPolicy: { Name: "nope" as "no" } } }, /^invalid restart policy:? .*'?nope'?/],
    [
      { HostConfig: { RestartPolicy: { Name: "always", MaximumRetryCount: 3 } } },
      /^(invalid restart policy: )?maximum retry count can(not| only) be used with (restart policy 'always'|'on-failure')/,
    ],
    [
      { HostConfig: { AutoRemove: true, RestartPolicy: { Name: "always" } } },
      "can't create 'AutoRemove' container with restart policy",
    ],
    [
      { HostConfig: { Binds: ["./relative:/x"] } },
      /includes invalid characters for a local volume name|volume name/,
    ],
    [
      { HostConfig: { Binds: ["/tmp:relative"] } },
      /invalid mount path: 'relative' mount path must be absolute/,
      { kind: "system" },
    ],
    [{ HostConfig: { Binds: ["/tmp:/x:nope"] } }, "invalid mode: nope", { kind: "system" }],
    [
      { HostConfig: { Binds: ["/tmp:/"] } },
      /invalid (specification|volume specification).*destination can't be '\/'/,
      { kind: "system" },
    ],
    [{ HostConfig: { Binds: ["/tmp:/x", "/var:/x"] } }, "Duplicate mount point: /x"],
    [{ HostConfig: { Tmpfs: { relative: "" } } }, /invalid mount path|mount path must be absolute/],
    [
      { HostConfig: { Mounts: [{ Type: "bind", Source: "/no/such/dir", Target: "/x" }] } },
      'invalid mount config for type "bind": bind source path does not exist: /no/such/dir',
    ],
    [
      { HostConfig: { Mounts: [{ Type: "bind", Target: "/x" }] } },
      'invalid mount config for type "bind": field Source must not be empty',
    ],
    [
      { HostConfig: { Mounts: [{ Type: "volume", Target: "" }] } },
      'invalid mount config for type "volume": field Target must not be empty',
    ],
    [
      { HostConfig: { Mounts: [{ Type: "tmpfs", Source: "/tmp", Target: "/x" }] } },
      'invalid mount config for type "tmpfs": field Source must not be specified',
    ],
    [
      { HostConfig: { Mounts: [{ Type: "nope" as "bind", Target: "/x" }] } },
      'invalid mount config for type "nope": mount type unknown',
    ],
    [{ HostConfig: { NetworkMode: "container:" } }, /[Ii]nvalid container format|invalid network mode/],
    [{ StopSignal: "NOPE" }, /^invalid signal: NOPE$/i],
    [{ HostConfig: { SecurityOpt: ["nope"] } }, /invalid --security-opt 1: "nope"/, { kind: "system" }],
    [
      { HostConfig: { PortBindings: { "80/tcp": [{ HostPort: "99999" }] } } },
      /invalid port specification: "99999"/,
    ],
    [{ HostConfig: { OomScoreAdj: 5000 } }, "Invalid value 5000, range for oom score adj is [-1000, 1000]"],
    [{ HostConfig: { ShmSize: -1 } }, /^SHM size can not be less than 0$/i],
    [
      { HostConfig: { Runtime: "no-such-runtime" } },
      /unknown or invalid runtime name: no-such-runtime|[Uu]nknown runtime specified no-such-runtime/,
    ],
  ];
  test.each(refusals)("%j is refused", async (request, words, older = {}) => {
    await expectFailure(subject.create(request), "invalid", words, older);
  });

  test("what is refused leaves nothing behind", async () => {
    const name = uniqueName();
    await failureOf(subject.create({ name, WorkingDir: "relative" }));
    expect((await failureOf(subject.engine.containers.inspect(name))).kind).toBe("notFound");
    await using container = await subject.create({ name });
    expect(container.id).not.toBe("");
  });

  test("without any command it is refused", async () => {
    const reference = uniqueName("no-command");
    const root = await subject.engine.images.save([busyboxImage]);
    for await (const _ of subject.engine.images.import(root, { reference })) {
      // The archive's files are as good a root as any.
    }
    try {
      await expectFailure(
        subject.create({ Image: reference }),
        "invalid",
        "no command specified",
        "No command specified",
      );
    } finally {
      await subject.engine.images.remove(reference);
    }
  });
});

contract("a container that cannot start", (subject) => {
  test("for want of its command: exit code 127", async () => {
    await using container = await subject.create({ Cmd: ["no-such-command"] });
    const failure = await failureOf(subject.engine.containers.start(container.id));
    expect(failure.message).toContain('exec: "no-such-command": executable file not found in $PATH');
    expect(failure).toMatchObject({ name: "StartFailure", exitCode: 127 });
    const { State } = await subject.engine.containers.inspect(container.id);
    expect(State).toMatchObject({ Status: "created", Running: false, ExitCode: 127 });
    expect(State.Error).toBe(failure.message);
  });

  test("for want of its command by path: exit code 127", async () => {
    await using container = await subject.create({ Cmd: ["/no/such/command"] });
    const failure = await failureOf(subject.engine.containers.start(container.id));
    expect(failure.message).toContain(
      'exec: "/no/such/command": stat /no/such/command: no such file or directory',
    );
    expect(failure).toMatchObject({ name: "StartFailure", exitCode: 127 });
  });

  test.each(["/etc/passwd", "/etc"])("as %s cannot be executed: exit code 126", async (command) => {
    await using container = await subject.create({ Cmd: [command] });
    const failure = await failureOf(subject.engine.containers.start(container.id));
    expect(failure.message).toMatch(/permission denied|is a directory/);
    expect(failure).toMatchObject({ name: "StartFailure", exitCode: 126 });
    expect((await subject.engine.containers.inspect(container.id)).State.ExitCode).toBe(126);
  });

  test("for want of its user", async () => {
    await using container = await subject.create({ Cmd: ["true"], User: "no-such-user" });
    const failure = await failureOf(subject.engine.containers.start(container.id));
    expect(failure.message).toContain("unable to find user no-such-user: no matching entries in passwd file");
    await using other = await subject.create({ Cmd: ["true"], User: "root:no-such-group" });
    const second = await failureOf(subject.engine.containers.start(other.id));
    expect(second.message).toContain("unable to find group no-such-group: no matching entries in group file");
  });

  test("for want of the container whose network it would join", async () => {
    await using container = await subject
      .create({ Cmd: ["true"], HostConfig: { NetworkMode: "container:nope" } })
      .catch((error: unknown) => {
        // Docker 28 and davit may say so already at create.
        expect(String(error)).toContain("No such container: nope");
        return { id: "", warnings: [], [Symbol.asyncDispose]: async () => undefined };
      });
    if (container.id === "") return;
    const failure = await failureOf(subject.engine.containers.start(container.id));
    expect(failure.message).toContain("No such container: nope");
  });

  test("it can be removed, and its name is free", async () => {
    const name = uniqueName();
    await using container = await subject.create({ name, Cmd: ["no-such-command"] });
    await failureOf(subject.engine.containers.start(container.id));
    await subject.engine.containers.remove(name);
    await using again = await subject.create({ name });
    expect(again.id).not.toBe(container.id);
  });

  test("with a missing bind source that was asked for by -v the directory is made", async () => {
    const source = `/tmp/davit-test-bind-${uniqueName()}`;
    const { rmSync, statSync } = await import("node:fs");
    try {
      expect(await subject.shell("ls -d /x", { HostConfig: { Binds: [`${source}:/x`] } })).toBe("/x");
      expect(statSync(source).isDirectory()).toBe(true);
    } finally {
      rmSync(source, { recursive: true, force: true });
    }
  });

  test("removing, starting, renaming what is not there fails by name", async () => {
    const { containers } = subject.engine;
    for (const work of [
      () => containers.remove("nope"),
      () => containers.start("nope"),
      () => containers.stop("nope"),
      () => containers.kill("nope"),
      () => containers.restart("nope"),
      () => containers.pause("nope"),
      () => containers.unpause("nope"),
      () => containers.rename("nope", "other"),
      () => containers.top("nope"),
      () => containers.resize("nope", { width: 1, height: 1 }),
    ]) {
      await expectFailure(
        work(),
        "notFound",
        /^(cannot (kill|restart) container:? nope: )?No such container: nope$/i,
      );
    }
  });
});

contract("listing containers", (subject) => {
  const list = async (options: ListContainersOptions = {}): Promise<ContainerSummary[]> =>
    subject.engine.containers.list(options);
  const ids = async (options: ListContainersOptions): Promise<string[]> =>
    (await list(options)).map((row) => row.Id);

  test("those that run, or all, newest first", async () => {
    await using first = await subject.create({ Cmd: ["true"] });
    await using second = await subject.start(["sleep", "600"]);
    expect(await ids({})).toEqual([second.id]);
    expect(await ids({ all: true })).toEqual([second.id, first.id]);
    expect(await ids({ limit: 1 })).toEqual([second.id]);
    expect(await ids({ limit: 5 })).toEqual([second.id, first.id]);
  });

  test("a row says what a person wants to know", async () => {
    const name = uniqueName();
    await using container = await subject.start(["sh", "-c", "sleep 600 # a 'long' one"], {
      name,
      Labels: { role: "web" },
      HostConfig: { NetworkMode: "none" },
    });
    const [row] = await list();
    const { Id } = await subject.engine.images.inspect(busyboxImage);
    expect(row).toMatchObject({
      Id: container.id,
      Names: [`/${name}`],
      Image: busyboxImage,
      ImageID: Id,
      Command: "sh -c 'sleep 600 # a 'long' one'",
      Labels: { role: "web" },
      State: "running",
      Ports: [],
      HostConfig: { NetworkMode: "none" },
      Mounts: [],
    });
    expect(row?.Status).toMatch(/^Up (Less than a second|\d+ seconds?)$/);
    expect(Math.abs((row?.Created ?? 0) - Date.now() / 1000)).toBeLessThan(120);
  });

  test("states are told in words", async () => {
    await using created = await subject.create({ Cmd: ["true"] });
    await using exited = await subject.start(["sh", "-c", "exit 3"]);
    await using paused = await subject.start(["sleep", "600"]);
    await subject.exitCodeOf(exited.id);
    await subject.engine.containers.pause(paused.id);
    const rows = new Map((await list({ all: true })).map((row) => [row.Id, row]));
    expect(rows.get(created.id)).toMatchObject({ State: "created", Status: "Created" });
    expect(rows.get(exited.id)?.State).toBe("exited");
    expect(rows.get(exited.id)?.Status).toMatch(/^Exited \(3\) (Less than a second|\d+ seconds?) ago$/);
    expect(rows.get(paused.id)?.State).toBe("paused");
    expect(rows.get(paused.id)?.Status).toMatch(/^Up .* \(Paused\)$/);
    expect(await ids({ filters: { status: ["paused"] } })).toEqual([paused.id]);
    expect(await ids({ filters: { status: ["exited", "created"] } })).toEqual([exited.id, created.id]);
    expect(await ids({ all: true, filters: { exited: ["3"] } })).toEqual([exited.id]);
    expect(await ids({ all: true, filters: { exited: ["4"] } })).toEqual([]);
  });

  test("filters: name, id, label, ancestor, before, since, volume, network", async () => {
    const name = uniqueName("filter");
    await using first = await subject.create({
      name: `${name}-one`,
      Cmd: ["true"],
      Labels: { a: "1", b: "2" },
    });
    await using second = await subject.create({
      name: `${name}-two`,
      Cmd: ["true"],
      Labels: { a: "2" },
      HostConfig: { Binds: [`${name}-volume:/data`], NetworkMode: "none" },
    });
    const found = (filters: Record<string, string[]>): Promise<string[]> => ids({ all: true, filters });
    expect(await found({ name: [name] })).toEqual([second.id, first.id]);
    expect(await found({ name: [`^/?${name}-one$`] })).toEqual([first.id]);
    expect(await found({ id: [first.id.slice(0, 12)] })).toEqual([first.id]);
    expect(await found({ label: ["a"] })).toEqual([second.id, first.id]);
    expect(await found({ label: ["a=1"] })).toEqual([first.id]);
    expect(await found({ label: ["a", "b=2"] })).toEqual([first.id]);
    expect(await found({ label: ["a=1", "a=2"] })).toEqual([]);
    expect(await found({ ancestor: [busyboxImage] })).toEqual([second.id, first.id]);
    expect(await found({ ancestor: ["no-such-image"] })).toEqual([]);
    expect(await found({ before: [`${name}-two`] })).toEqual([first.id]);
    expect(await found({ since: [first.id] })).toEqual([second.id]);
    expect(await found({ volume: [`${name}-volume`] })).toEqual([second.id]);
    expect(await found({ volume: ["/data"] })).toEqual([second.id]);
    expect(await found({ network: ["none"] })).toEqual([second.id]);
  });

  test("a filter that is not known, or has no sense, is refused", async () => {
    await expectFailure(list({ filters: { nope: ["x"] } }), "invalid", /^invalid filter '?nope'?$/i);
    await expectFailure(
      list({ filters: { status: ["nope"] } }),
      "invalid",
      /(unrecognised|unrecognized|invalid) filter value for status: nope|invalid filter 'status=nope'/i,
    );
    await expectFailure(
      list({ filters: { exited: ["x"] } }),
      "invalid",
      /invalid filter 'exited=x'|invalid syntax/i,
      { kind: "system" },
    );
    await expectFailure(
      list({ all: true, filters: { before: ["no-such"] } }),
      "notFound",
      "No such container: no-such",
      { kind: "system", words: "no such container no-such" },
    );
  });

  test("sizes are told when asked for", async () => {
    await using container = await subject.start(["sh", "-c", "head -c 100000 /dev/zero > /file; sleep 600"]);
    await subject.exec(container.id, ["sync"]);
    const [without] = await list();
    expect(without?.SizeRw).toBeUndefined();
    const [row] = await list({ size: true });
    expect(row?.SizeRw).toBeGreaterThanOrEqual(100_000);
    expect(row?.SizeRootFs).toBeGreaterThan(1_000_000);
    const inspected = await subject.engine.containers.inspect(container.id, { size: true });
    expect(inspected.SizeRw).toBeGreaterThanOrEqual(100_000);
    expect((await subject.engine.containers.inspect(container.id)).SizeRw).toBeUndefined();
  });
});
