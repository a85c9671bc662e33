/** Volumes, bind mounts and tmpfs mounts. */
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HostConfig } from "../../src/core/objects.ts";
import { busyboxImage } from "../harness/images.ts";
import { contract, expectFailure, failureOf, type Subject, uniqueName } from "./subjects.ts";

/** A directory of the host for the length of a block. */
function hostDirectory(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "davit-test-host-"));
  chmodSync(path, 0o755);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A volume that goes with the block. */
async function ownedVolume(
  subject: Subject,
  name = uniqueName("volume"),
): Promise<AsyncDisposable & { name: string }> {
  await subject.engine.volumes.create({ Name: name });
  return {
    name,
    async [Symbol.asyncDispose]() {
      await subject.engine.volumes.remove(name, { force: true });
    },
  };
}

contract("bind mounts", (subject) => {
  test("host and container see the same files, both ways", async () => {
    using host = hostDirectory();
    writeFileSync(join(host.path, "from-host"), "hello");
    const output = await subject.shell("cat /data/from-host; echo back > /data/from-container", {
      HostConfig: { Binds: [`${host.path}:/data`] },
    });
    expect(output).toBe("hello");
    expect(readFileSync(join(host.path, "from-container"), "utf8")).toBe("back\n");
  });

  test("one file can be mounted", async () => {
    using host = hostDirectory();
    const file = join(host.path, "file");
    writeFileSync(file, "content");
    expect(await subject.shell("cat /etc/motd", { HostConfig: { Binds: [`${file}:/etc/motd`] } })).toBe(
      "content",
    );
  });

  test.each<[string, (source: string) => HostConfig]>([
    ["-v", (source) => ({ Binds: [`${source}:/data:ro`] })],
    [
      "--mount",
      (source) => ({ Mounts: [{ Type: "bind", Source: source, Target: "/data", ReadOnly: true }] }),
    ],
  ])("read-only with %s", async (_, hostConfig) => {
    using host = hostDirectory();
    const { code, stderr } = await subject.run(["touch", "/data/x"], { HostConfig: hostConfig(host.path) });
    expect(code).toBe(1);
    expect(stderr).toContain("Read-only file system");
  });

  test("missing directories on the way to the target are made", async () => {
    using host = hostDirectory();
    writeFileSync(join(host.path, "file"), "deep");
    const output = await subject.shell("cat /a/b/c/file", { HostConfig: { Binds: [`${host.path}:/a/b/c`] } });
    expect(output).toBe("deep");
  });

  test("a mount inside a mount shows", async () => {
    using outer = hostDirectory();
    using inner = hostDirectory();
    writeFileSync(join(inner.path, "file"), "inner");
    const output = await subject.shell("cat /data/sub/file; echo; ls /data", {
      // The order in which they are given does not matter.
      HostConfig: { Binds: [`${inner.path}:/data/sub`, `${outer.path}:/data`] },
    });
    expect(output).toBe("inner\nsub");
  });

  test("a target that is a symbolic link leads inside the container's root", async () => {
    using host = hostDirectory();
    writeFileSync(join(host.path, "file"), "content");
    await using container = await subject.create({
      Cmd: ["sh", "-c", "cat /tmp/real/file"],
      HostConfig: { Binds: [`${host.path}:/tmp/real`] },
    });
    await subject.engine.containers.start(container.id);
    await subject.exitCodeOf(container.id);
    expect((await subject.logsOf(container.id)).stdout).toBe("content");
  });

  test("inspect tells what is mounted", async () => {
    using host = hostDirectory();
    await using container = await subject.create({
      HostConfig: {
        Binds: [`${host.path}:/one:ro`],
        Mounts: [{ Type: "bind", Source: host.path, Target: "/two" }],
      },
    });
    const { Mounts, HostConfig } = await subject.engine.containers.inspect(container.id);
    expect(Mounts.toSorted((a, b) => a.Destination.localeCompare(b.Destination))).toEqual([
      {
        Type: "bind",
        Source: host.path,
        Destination: "/one",
        Mode: "ro",
        RW: false,
        Propagation: "rprivate",
      },
      { Type: "bind", Source: host.path, Destination: "/two", Mode: "", RW: true, Propagation: "rprivate" },
    ]);
    expect(HostConfig.Binds).toEqual([`${host.path}:/one:ro`]);
  });

  test("the mounts of another container can be taken over", async () => {
    using host = hostDirectory();
    writeFileSync(join(host.path, "file"), "shared");
    await using first = await subject.create({ HostConfig: { Binds: [`${host.path}:/data`] } });
    expect(await subject.shell("cat /data/file", { HostConfig: { VolumesFrom: [first.id] } })).toBe("shared");
    const { code } = await subject.run(["touch", "/data/x"], {
      HostConfig: { VolumesFrom: [`${first.id}:ro`] },
    });
    expect(code).toBe(1);
  });
});

contract("volumes", (subject) => {
  test("a volume outlives its container and is shared by name", async () => {
    await using volume = await ownedVolume(subject);
    await subject.shell("echo kept > /data/file", { HostConfig: { Binds: [`${volume.name}:/data`] } });
    const output = await subject.shell("cat /data/file", {
      HostConfig: { Mounts: [{ Type: "volume", Source: volume.name, Target: "/data" }] },
    });
    expect(output).toBe("kept");
  });

  test("a volume that does not exist is made when it is used", async () => {
    const name = uniqueName("volume");
    await subject.shell("true", { HostConfig: { Binds: [`${name}:/data`] } });
    expect((await subject.engine.volumes.inspect(name)).Name).toBe(name);
    await subject.engine.volumes.remove(name);
  });

  test("it is filled from the image on first use, with the directory's mode", async () => {
    await using volume = await ownedVolume(subject);
    const where = { HostConfig: { Binds: [`${volume.name}:/etc`] } };
    expect(await subject.shell("grep -c user /etc/passwd", where)).toBe("1");
    await subject.shell("echo changed > /etc/group", where);
    // The second time it is no longer empty.
    expect(await subject.shell("cat /etc/group", where)).toBe("changed");

    await using temporary = await ownedVolume(subject);
    const mode = await subject.shell("stat -c %a /tmp", {
      HostConfig: { Binds: [`${temporary.name}:/tmp`] },
    });
    expect(mode).toBe("1777");
  });

  test("nocopy leaves it empty", async () => {
    await using volume = await ownedVolume(subject);
    const output = await subject.shell("ls -A /etc | grep -vE '^(hosts|hostname|resolv.conf)$' | wc -l", {
      HostConfig: { Binds: [`${volume.name}:/etc:nocopy`] },
    });
    expect(output.trim()).toBe("0");
  });

  test("read-only", async () => {
    await using volume = await ownedVolume(subject);
    expect(
      (await subject.run(["touch", "/data/x"], { HostConfig: { Binds: [`${volume.name}:/data:ro`] } })).code,
    ).toBe(1);
  });

  test("an anonymous volume goes with its container when asked", async () => {
    const container = await subject.create({ Volumes: { "/data": {} } });
    const { Mounts } = await subject.engine.containers.inspect(container.id);
    expect(Mounts).toHaveLength(1);
    const [mount] = Mounts;
    expect(mount).toMatchObject({ Type: "volume", Destination: "/data", Driver: "local", RW: true });
    expect(mount?.Name).toMatch(/^[0-9a-f]{64}$/);
    const name = mount?.Name ?? "";
    expect((await subject.engine.volumes.inspect(name)).Mountpoint).toBe(mount?.Source ?? "");
    await subject.engine.containers.remove(container.id, { volumes: true });
    expect((await failureOf(subject.engine.volumes.inspect(name))).kind).toBe("notFound");
  });

  test("a named volume stays when the container goes", async () => {
    await using volume = await ownedVolume(subject);
    const container = await subject.create({ HostConfig: { Binds: [`${volume.name}:/data`] } });
    await subject.engine.containers.remove(container.id, { volumes: true });
    expect((await subject.engine.volumes.inspect(volume.name)).Name).toBe(volume.name);
  });

  test("a container that removes itself takes its anonymous volumes along", async () => {
    await using container = await subject.create({
      Cmd: ["true"],
      Volumes: { "/data": {} },
      HostConfig: { AutoRemove: true },
    });
    const { Mounts } = await subject.engine.containers.inspect(container.id);
    const removed = await subject.engine.containers.wait(container.id, "removed");
    await subject.engine.containers.start(container.id);
    await removed.result;
    expect((await failureOf(subject.engine.volumes.inspect(Mounts[0]?.Name ?? ""))).kind).toBe("notFound");
  });

  test("create, inspect, list, remove", async () => {
    const name = uniqueName("volume");
    const created = await subject.engine.volumes.create({ Name: name, Labels: { a: "1" } });
    expect(created).toMatchObject({ Name: name, Driver: "local", Scope: "local", Labels: { a: "1" } });
    expect(Date.parse(created.CreatedAt ?? "")).toBeGreaterThan(Date.parse("2020-01-01"));
    expect(await subject.engine.volumes.inspect(name)).toMatchObject({
      Name: name,
      Mountpoint: created.Mountpoint,
    });
    // Creating it again gives the same one.
    expect((await subject.engine.volumes.create({ Name: name })).CreatedAt).toBe(created.CreatedAt ?? "");
    const listed = async (filters: Record<string, string[]>): Promise<string[]> =>
      (await subject.engine.volumes.list(filters)).Volumes.map((volume) => volume.Name);
    expect(await listed({ name: [name] })).toEqual([name]);
    expect(await listed({ label: ["a=1"] })).toEqual([name]);
    expect(await listed({ label: ["a=2"] })).toEqual([]);
    expect(await listed({ dangling: ["true"], name: [name] })).toEqual([name]);
    expect(await listed({ dangling: ["false"], name: [name] })).toEqual([]);
    await subject.engine.volumes.remove(name);
    await expectFailure(subject.engine.volumes.inspect(name), "notFound", `get ${name}: no such volume`);
    await expectFailure(subject.engine.volumes.remove(name), "notFound", `get ${name}: no such volume`);
    await subject.engine.volumes.remove(name, { force: true });
  });

  test("a volume without a name gets one of 64 hex digits", async () => {
    const { Name } = await subject.engine.volumes.create({});
    expect(Name).toMatch(/^[0-9a-f]{64}$/);
    await subject.engine.volumes.remove(Name);
  });

  test("a volume in use cannot be removed", async () => {
    await using volume = await ownedVolume(subject);
    {
      await using container = await subject.create({ HostConfig: { Binds: [`${volume.name}:/data`] } });
      await expectFailure(
        subject.engine.volumes.remove(volume.name),
        "conflict",
        `remove ${volume.name}: volume is in use - [${container.id}]`,
      );
    }
    await subject.engine.volumes.remove(volume.name);
    await subject.engine.volumes.create({ Name: volume.name });
  });

  test.each(["x", "a b", "../x", "a/b"])("%j is no name for a volume", async (name) => {
    expect((await failureOf(subject.engine.volumes.create({ Name: name }))).kind).toBe("invalid");
  });

  test("an unknown driver is not found", async () => {
    const failure = await failureOf(
      subject.engine.volumes.create({ Name: uniqueName(), Driver: "no-such-driver" }),
    );
    expect(failure.kind).toBe("notFound");
  });

  test("prune takes unused anonymous volumes", async () => {
    const { Name } = await subject.engine.volumes.create({});
    await using container = await subject.create({ Volumes: { "/data": {} } });
    const used = (await subject.engine.containers.inspect(container.id)).Mounts[0]?.Name ?? "";
    const pruned = await subject.engine.volumes.prune();
    expect(pruned.VolumesDeleted).toContain(Name);
    expect(pruned.VolumesDeleted).not.toContain(used);
    expect((await subject.engine.volumes.inspect(used)).Name).toBe(used);
  });

  test("a local volume can be a tmpfs", async () => {
    const name = uniqueName("volume");
    await subject.engine.volumes.create({
      Name: name,
      DriverOpts: { type: "tmpfs", device: "tmpfs", o: "size=2m" },
    });
    const output = await subject.shell("df -k /data | tail -n 1 | awk '{print $2}'", {
      HostConfig: { Binds: [`${name}:/data`] },
    });
    expect(output).toBe("2048");
    await subject.engine.volumes.remove(name);
  });

  test("a local volume can be a directory of the host", async () => {
    using host = hostDirectory();
    mkdirSync(join(host.path, "sub"));
    writeFileSync(join(host.path, "sub", "file"), "from the host");
    const name = uniqueName("volume");
    await subject.engine.volumes.create({
      Name: name,
      DriverOpts: { type: "none", device: join(host.path, "sub"), o: "bind" },
    });
    expect(await subject.shell("cat /data/file", { HostConfig: { Binds: [`${name}:/data`] } })).toBe(
      "from the host",
    );
    await subject.engine.volumes.remove(name);
  });
});

contract("tmpfs mounts", (subject) => {
  test("--mount type=tmpfs has its size and mode", async () => {
    const output = await subject.shell(
      "df -k /t | tail -n 1 | awk '{print $2}'; stat -c %a /t; touch /t/x && echo written",
      {
        HostConfig: {
          Mounts: [{ Type: "tmpfs", Target: "/t", TmpfsOptions: { SizeBytes: 3 << 20, Mode: 0o1770 } }],
        },
      },
    );
    expect(output).toBe("3072\n1770\nwritten");
  });

  test("what is in it goes with the container's run", async () => {
    await using container = await subject.start(["sh", "-c", "ls /t; touch /t/file"], {
      HostConfig: { Tmpfs: { "/t": "" } },
    });
    await subject.exitCodeOf(container.id);
    await subject.engine.containers.start(container.id);
    await subject.exitCodeOf(container.id);
    expect((await subject.logsOf(container.id)).stdout).toBe("");
  });

  test("the image's files under it are hidden", async () => {
    expect(
      await subject.shell("ls /home | wc -l", {
        HostConfig: { Tmpfs: { "/home": "" } },
        Image: busyboxImage,
      }),
    ).toBe("0");
  });
});
