import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { HostConfig, Mount } from "../../src/core/objects.ts";
import { allVolumes, usersOf } from "../../src/volumes/store.ts";
import { containerId, makeRoom } from "./room.ts";

const id = containerId("a");

test("a named volume, a bind and an anonymous volume are planned and shown as Docker shows them", async () => {
  await using room = makeRoom();
  const plan = await room.plan(
    id,
    { Binds: ["data:/data:ro", "/srv/www/:/var/www/html/:rslave"] },
    { Volumes: { "/cache": {} } },
  );
  const anonymous = plan.mounts.find((mount) => mount.anonymous)?.volume ?? "";
  expect(plan.points).toEqual([
    {
      Type: "volume",
      Name: "data",
      Source: join(room.top, "data/volumes/data/_data"),
      Destination: "/data",
      Driver: "local",
      Mode: "ro",
      RW: false,
      Propagation: "",
    },
    {
      Type: "volume",
      Name: anonymous,
      Source: join(room.top, "data/volumes", anonymous, "_data"),
      Destination: "/cache",
      Driver: "local",
      Mode: "",
      RW: true,
      Propagation: "",
    },
    {
      Type: "bind",
      Source: "/srv/www",
      Destination: "/var/www/html",
      Mode: "rslave",
      RW: true,
      Propagation: "rslave",
    },
  ]);
  expect(usersOf(room.store.state, "data")).toEqual([id]);
  expect(usersOf(room.store.state, anonymous)).toEqual([id]);
});

test("a container without mounts touches nothing", async () => {
  await using room = makeRoom();
  expect(await room.plan(id, {})).toEqual({ points: [], mounts: [] });
  expect(existsSync(join(room.top, "run/locks/volumes"))).toBe(false);
});

test("parents come before what is mounted inside them", async () => {
  await using room = makeRoom();
  const plan = await room.plan(id, {
    Binds: ["/a:/one/two/three", "/b:/one", "vol:/one/two"],
    Tmpfs: { "/one/two/three/four": "size=1m" },
  });
  expect(plan.mounts.map((mount) => mount.destination)).toEqual([
    "/one",
    "/one/two",
    "/one/two/three",
    "/one/two/three/four",
  ]);
  expect(plan.points).toHaveLength(3);
});

test("an image's VOLUME gives way to what is mounted there", async () => {
  await using room = makeRoom();
  const plan = await room.plan(
    id,
    { Binds: ["named:/var/lib/db"], Tmpfs: { "/scratch": "" } },
    { Volumes: { "/var/lib/db/": {}, "/scratch": {}, relative: {} } },
  );
  expect(plan.mounts.map(({ type, destination }) => `${type} ${destination}`)).toEqual([
    "tmpfs /scratch",
    "volume /relative",
    "volume /var/lib/db",
  ]);
  expect(allVolumes(room.store.state)).toHaveLength(2);
});

test("an image's VOLUME that looks like a bind is only a path", async () => {
  await using room = makeRoom();
  const plan = await room.plan(id, {}, { Volumes: { "/etc:/host": {} } });
  expect(plan.points).toMatchObject([{ Type: "volume", Destination: "/etc:/host" }]);
});

const bad: [string, HostConfig, string][] = [
  ["an empty part", { Binds: [":/x"] }, "invalid volume specification: ':/x'"],
  ["a mode without a source", { Binds: ["/x:ro"] }, "invalid volume specification: '/x:ro'"],
  ["too many parts", { Binds: ["a:/b:ro:c"] }, "invalid volume specification: 'a:/b:ro:c'"],
  ["an unknown mode", { Binds: ["/a:/b:fast"] }, "invalid mode: fast"],
  ["two modes of a kind", { Binds: ["/a:/b:ro,rw"] }, "invalid mode: ro,rw"],
  [
    "a relative destination",
    { Binds: ["/a:b"] },
    "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute",
  ],
  [
    "the root as destination",
    { Binds: ["vol:/x/.."] },
    "invalid volume specification: 'vol:/x/..': invalid mount config for type \"volume\": invalid specification: destination can't be '/'",
  ],
  ["the same place twice", { Binds: ["/a:/x", "vol:/x/"] }, "Duplicate mount point: /x"],
  ["a tmpfs on a volume", { Binds: ["vol:/x"], Tmpfs: { "/x": "" } }, "Duplicate mount point: /x"],
  [
    "a volume name with a slash",
    { Binds: ["x/y:/x"] },
    'create x/y: "x/y" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
  ],
  ["an unknown tmpfs option", { Tmpfs: { "/x": "colour=red" } }, 'invalid tmpfs option ["colour" "red"]'],
  ["a mode of volumes-from", { VolumesFrom: ["other:nocopy"] }, "invalid mode: nocopy"],
];

for (const [title, hostConfig, message] of bad) {
  test(`${title} is refused in Docker's words`, async () => {
    await using room = makeRoom();
    await expect(room.plan(id, hostConfig)).rejects.toThrow(message);
  });
}

const badMounts: [string, Mount, string][] = [
  ["no target", { Type: "bind", Source: "/tmp", Target: "" }, "field Target must not be empty"],
  ["no source", { Type: "bind", Target: "/x" }, "field Source must not be empty"],
  [
    "a missing source",
    { Type: "bind", Source: "/no/such/place", Target: "/x" },
    "bind source path does not exist: /no/such/place",
  ],
  [
    "a relative source",
    { Type: "bind", Source: "here", Target: "/x" },
    "invalid mount path: 'here' mount path must be absolute",
  ],
  [
    "a source of a tmpfs",
    { Type: "tmpfs", Source: "/tmp", Target: "/x" },
    "field Source must not be specified",
  ],
  [
    "bind options of a volume",
    { Type: "volume", Source: "vol", Target: "/x", BindOptions: {} },
    "field BindOptions must not be specified",
  ],
  [
    "a subpath that leaves the volume",
    { Type: "volume", Source: "vol", Target: "/x", VolumeOptions: { Subpath: "a/../../b" } },
    "subpath must be a relative path within the volume",
  ],
];

for (const [title, mount, message] of badMounts) {
  test(`--mount with ${title} is refused in Docker's words`, async () => {
    await using room = makeRoom();
    await expect(room.plan(id, { Mounts: [mount] })).rejects.toThrow(
      `invalid mount config for type "${mount.Type}": ${message}`,
    );
    expect(allVolumes(room.store.state)).toEqual([]);
  });
}

test("--volumes-from brings another container's mounts along, and a mount of one's own wins", async () => {
  await using room = makeRoom();
  const other = await room.plan(containerId("b"), {
    Binds: ["data:/data", "/srv:/srv", "logs:/logs:ro"],
    Tmpfs: { "/scratch": "" },
  });
  const plan = await room.plan(
    id,
    { VolumesFrom: ["other:ro"], Binds: ["mine:/logs"] },
    { Volumes: { "/data": {} } },
    { other: other.mounts },
  );
  expect(
    plan.mounts.map(({ volume, source, destination, readonly }) => [volume || source, destination, readonly]),
  ).toEqual([
    ["data", "/data", true],
    ["/srv", "/srv", true],
    ["mine", "/logs", false],
  ]);
  expect(usersOf(room.store.state, "data").sort()).toEqual([id, containerId("b")].sort());
  expect(usersOf(room.store.state, "logs")).toEqual([containerId("b")]);
});

test("--mount of a volume makes it with its labels and options", async () => {
  await using room = makeRoom();
  await room.plan(id, {
    Mounts: [
      {
        Type: "volume",
        Source: "scratch",
        Target: "/scratch",
        VolumeOptions: {
          Labels: { purpose: "test" },
          DriverConfig: { Name: "local", Options: { type: "tmpfs", device: "tmpfs", o: "size=1m" } },
        },
      },
    ],
  });
  expect(allVolumes(room.store.state)).toMatchObject([
    {
      name: "scratch",
      labels: { purpose: "test" },
      options: { type: "tmpfs", device: "tmpfs", o: "size=1m" },
    },
  ]);
});

test("a tmpfs has Docker's safe flags unless the user says otherwise", async () => {
  await using room = makeRoom();
  const plan = await room.plan(id, {
    Tmpfs: { "/a": "", "/b": "exec,size=10m,ro" },
    Mounts: [{ Type: "tmpfs", Target: "/c", TmpfsOptions: { SizeBytes: 1048576, Mode: 0o700 } }],
  });
  const mounts = await room.start(id, plan);
  expect(
    mounts.map(({ type, destination, readonly, options }) => ({ type, destination, readonly, options })),
  ).toEqual([
    {
      type: "tmpfs",
      destination: "/c",
      readonly: false,
      options: ["noexec", "nosuid", "nodev", "mode=700", "size=1048576"],
    },
    { type: "tmpfs", destination: "/a", readonly: false, options: ["noexec", "nosuid", "nodev"] },
    { type: "tmpfs", destination: "/b", readonly: true, options: ["nosuid", "nodev", "exec", "size=10m"] },
  ]);
  expect(plan.points).toEqual([
    { Type: "tmpfs", Source: "", Destination: "/c", Mode: "", RW: true, Propagation: "" },
  ]);
});
