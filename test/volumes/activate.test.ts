import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isMountPoint } from "../../src/linux/mounts.ts";
import { getXattr, setXattr } from "../../src/linux/xattrs.ts";
import { releaseVolumes } from "../../src/volumes/activate.ts";
import { createVolume, mountpointOf, removeVolume } from "../../src/volumes/store.ts";
import { containerId, makeRoom } from "./room.ts";

const [one, two] = [containerId("1"), containerId("2")];

test("an empty volume is filled from the image with everything that its files have", async () => {
  await using room = makeRoom();
  const source = join(room.rootfs, "app");
  mkdirSync(join(source, "deep/er"), { recursive: true });
  writeFileSync(join(source, "tool"), "#!/bin/sh\n");
  chownSync(join(source, "tool"), 1000, 50);
  chmodSync(join(source, "tool"), 0o4755);
  setXattr(join(source, "tool"), "user.note", Buffer.from("kept"));
  linkSync(join(source, "tool"), join(source, "deep/same"));
  symlinkSync("/etc/passwd", join(source, "link"));
  writeFileSync(join(source, "sparse"), "");
  truncateSync(join(source, "sparse"), 10_000_000);
  utimesSync(join(source, "deep/er"), 1_000_000_000.25, 1_000_000_000.25);
  Bun.spawnSync(["mkfifo", join(source, "pipe")]);
  chownSync(source, 33, 33);
  chmodSync(source, 0o1770);

  const plan = await room.plan(one, { Binds: ["app:/app"] });
  const [mount] = await room.start(one, plan);
  const filled = mount?.source ?? "";
  expect(readdirSync(filled).sort()).toEqual(["deep", "link", "pipe", "sparse", "tool"]);
  expect(statSync(filled)).toMatchObject({ uid: 33, gid: 33 });
  expect(statSync(filled).mode & 0o7777).toBe(0o1770);
  const tool = statSync(join(filled, "tool"));
  expect(tool).toMatchObject({ uid: 1000, gid: 50, nlink: 2, ino: statSync(join(filled, "deep/same")).ino });
  expect(tool.mode & 0o7777).toBe(0o4755);
  expect(Buffer.from(getXattr(join(filled, "tool"), "user.note") ?? []).toString()).toBe("kept");
  expect(readlinkSync(join(filled, "link"))).toBe("/etc/passwd");
  expect(lstatSync(join(filled, "pipe")).isFIFO()).toBe(true);
  expect(statSync(join(filled, "sparse"))).toMatchObject({ size: 10_000_000, blocks: 0 });
  expect(statSync(join(filled, "deep/er")).mtimeMs).toBe(1_000_000_000_250);
  expect(readdirSync(join(filled, ".."))).toEqual(["_data"]);
});

test("a volume with something in it, nocopy, and a later start are not filled", async () => {
  await using room = makeRoom();
  mkdirSync(join(room.rootfs, "app"));
  writeFileSync(join(room.rootfs, "app/file"), "x");
  const full = await createVolume(room.store, { Name: "full" });
  writeFileSync(join(full.Mountpoint, "own"), "y");
  const plan = await room.plan(one, { Binds: ["full:/app"] });
  await room.start(one, plan);
  expect(readdirSync(full.Mountpoint)).toEqual(["own"]);

  const nocopy = await room.plan(two, { Binds: ["raw:/app:nocopy"] });
  await room.start(two, nocopy);
  expect(readdirSync(mountpointOf(room.store.state, "raw"))).toEqual([]);

  const later = await room.plan(containerId("3"), { Binds: ["emptied:/app"] });
  await room.start(containerId("3"), later, { fill: false });
  expect(readdirSync(mountpointOf(room.store.state, "emptied"))).toEqual([]);
});

test("a volume is filled through the image's own symlinks, which cannot lead out of it", async () => {
  await using room = makeRoom();
  const outside = join(room.top, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "host-secret"), "x");
  mkdirSync(join(room.rootfs, "real"));
  writeFileSync(join(room.rootfs, "real/inside"), "x");
  symlinkSync("/real", join(room.rootfs, "absolute"));
  symlinkSync(outside, join(room.rootfs, "escape"));
  symlinkSync(`../../../../../..${outside}`, join(room.rootfs, "climb"));
  const plan = await room.plan(one, { Binds: ["good:/absolute", "bad1:/escape", "bad2:/climb"] });
  await room.start(one, plan);
  expect(readdirSync(mountpointOf(room.store.state, "good"))).toEqual(["inside"]);
  expect(readdirSync(mountpointOf(room.store.state, "bad1"))).toEqual([]);
  expect(readdirSync(mountpointOf(room.store.state, "bad2"))).toEqual([]);
});

test("a fill that a crash interrupted is finished by the next start", async () => {
  await using room = makeRoom();
  const made = await createVolume(room.store, { Name: "half" });
  const directory = join(made.Mountpoint, "..");
  mkdirSync(join(directory, "_fill/rest"), { recursive: true });
  chownSync(join(directory, "_fill"), 7, 7);
  mkdirSync(join(directory, "_fill.partial"));
  writeFileSync(join(made.Mountpoint, "moved-before"), "x");
  const plan = await room.plan(one, { Binds: ["half:/nowhere"] });
  await room.start(one, plan, { fill: false });
  expect(readdirSync(made.Mountpoint).sort()).toEqual(["moved-before", "rest"]);
  expect(statSync(made.Mountpoint).uid).toBe(7);
});

test("a volume with driver options is mounted while a container runs, and no longer", async () => {
  await using room = makeRoom();
  mkdirSync(join(room.rootfs, "seed"));
  writeFileSync(join(room.rootfs, "seed/file"), "from the image");
  const made = await createVolume(room.store, {
    Name: "ram",
    DriverOpts: { type: "tmpfs", device: "tmpfs", o: "size=1m,noexec" },
  });
  const plans = [
    await room.plan(one, { Binds: ["ram:/seed"] }),
    await room.plan(two, { Binds: ["ram:/seed"] }),
  ];
  expect(isMountPoint(made.Mountpoint)).toBe(false);
  const [first, second] = plans;
  if (first === undefined || second === undefined) throw new Error("two plans were made");
  await room.start(one, first);
  await room.start(two, second);
  const mounted = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(made.Mountpoint));
  expect(mounted).toHaveLength(1);
  expect(mounted[0]).toContain("noexec");
  expect(mounted[0]).toContain("size=1024k");
  expect(readFileSync(join(made.Mountpoint, "file"), "utf8")).toBe("from the image");

  await releaseVolumes(room.store, one);
  expect(isMountPoint(made.Mountpoint)).toBe(true);
  await releaseVolumes(room.store, two);
  await releaseVolumes(room.store, two);
  expect(isMountPoint(made.Mountpoint)).toBe(false);
  expect(readdirSync(join(room.top, "run/volumes"))).toEqual([]);
});

test("a volume bound to a host directory shows it, read-only if asked", async () => {
  await using room = makeRoom();
  const place = join(room.top, "place");
  mkdirSync(place);
  writeFileSync(join(place, "file"), "x");
  const made = await createVolume(room.store, {
    Name: "bound",
    DriverOpts: { type: "none", device: place, o: "bind,ro" },
  });
  await room.start(one, await room.plan(one, { Binds: ["bound:/x"] }), { fill: false });
  expect(readdirSync(made.Mountpoint)).toEqual(["file"]);
  expect(() => writeFileSync(join(made.Mountpoint, "new"), "")).toThrow("EROFS");
  await releaseVolumes(room.store, one);
  writeFileSync(join(place, "new"), "");
  expect(readdirSync(made.Mountpoint)).toEqual([]);
});

test("a driver mount that fails says why and leaves nothing", async () => {
  await using room = makeRoom();
  const made = await createVolume(room.store, {
    Name: "broken",
    DriverOpts: { type: "none", device: "/no/such/place", o: "bind" },
  });
  const plan = await room.plan(one, { Binds: ["broken:/x"] });
  await expect(room.start(one, plan)).rejects.toThrow(
    `error while mounting volume '${made.Mountpoint}': failed to mount local volume: mount`,
  );
  await releaseVolumes(room.store, one);
  expect(isMountPoint(made.Mountpoint)).toBe(false);
});

test("a subpath is mounted from inside the volume, whatever its symlinks say", async () => {
  await using room = makeRoom();
  const made = await createVolume(room.store, { Name: "parts" });
  mkdirSync(join(made.Mountpoint, "a/b"), { recursive: true });
  writeFileSync(join(made.Mountpoint, "a/b/here"), "x");
  writeFileSync(join(made.Mountpoint, "a/single"), "alone");
  symlinkSync("/etc", join(made.Mountpoint, "escape"));
  const mountOf = (Subpath: string, Target: string) => ({
    Type: "volume" as const,
    Source: "parts",
    Target,
    VolumeOptions: { Subpath },
  });
  const plan = await room.plan(one, { Mounts: [mountOf("a/b", "/x"), mountOf("a/single", "/y")] });
  const [directory, file] = await room.start(one, plan);
  expect(readdirSync(directory?.source ?? "")).toEqual(["here"]);
  expect(readFileSync(file?.source ?? "", "utf8")).toBe("alone");
  // What was checked stays mounted, even if the volume's owner swaps the directory.
  renameSync(join(made.Mountpoint, "a"), join(made.Mountpoint, "old"));
  symlinkSync("/etc", join(made.Mountpoint, "a"));
  expect(readdirSync(directory?.source ?? "")).toEqual(["here"]);
  await releaseVolumes(room.store, one);
  expect(existsSync(directory?.source ?? "")).toBe(false);
  expect(readdirSync(join(made.Mountpoint, "old/b"))).toEqual(["here"]);

  const escaping = await room.plan(two, { Mounts: [mountOf("escape", "/x")] });
  await expect(room.start(two, escaping)).rejects.toThrow(
    `cannot access path ${made.Mountpoint}/escape: open escape: no such file or directory`,
  );
});

test("-v makes a missing host directory; --mount finds it missing also at the start", async () => {
  await using room = makeRoom();
  const missing = join(room.top, "new/place");
  const plan = await room.plan(one, { Binds: [`${missing}:/x`] });
  expect(existsSync(missing)).toBe(false);
  await room.start(one, plan);
  expect(statSync(missing).isDirectory()).toBe(true);

  const mounted = await room.plan(two, { Mounts: [{ Type: "bind", Source: missing, Target: "/x" }] });
  rmSync(missing, { recursive: true });
  await expect(room.start(two, mounted)).rejects.toThrow(
    `invalid mount config for type "bind": bind source path does not exist: ${missing}`,
  );
});

test("read-only mounts are read-only all the way down, unless asked otherwise", async () => {
  await using room = makeRoom();
  const plan = await room.plan(one, {
    Binds: [`${room.top}:/a:ro`],
    Mounts: [
      {
        Type: "bind",
        Source: room.top,
        Target: "/b",
        ReadOnly: true,
        BindOptions: { ReadOnlyNonRecursive: true },
      },
      { Type: "bind", Source: room.top, Target: "/c", BindOptions: { NonRecursive: true } },
    ],
  });
  const mounts = await room.start(one, plan);
  expect(mounts.map(({ readonly, options, nonRecursive }) => ({ readonly, options, nonRecursive }))).toEqual([
    { readonly: true, options: ["rro"], nonRecursive: false },
    { readonly: true, options: [], nonRecursive: false },
    { readonly: false, options: [], nonRecursive: true },
  ]);
});

test("a start tells which volumes it mounted", async () => {
  await using room = makeRoom();
  await room.start(one, await room.plan(one, { Binds: ["seen:/data:ro", "/srv:/srv"] }));
  expect(room.events.filter(({ action }) => action === "mount")).toEqual([
    {
      action: "mount",
      name: "seen",
      attributes: {
        container: one,
        destination: "/data",
        driver: "local",
        propagation: "",
        "read/write": "false",
      },
    },
  ]);
  await releaseVolumes(room.store, one);
  await expect(removeVolume(room.store, "seen")).rejects.toThrow("volume is in use");
});
