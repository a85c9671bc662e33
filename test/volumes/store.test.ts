import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Conflict, InvalidParameter, NotFound } from "../../src/core/errors.ts";
import { localVolumes } from "../../src/engine/local/volumes.ts";
import {
  createVolume,
  forgetUses,
  mountpointOf,
  recordUse,
  removeUnused,
  removeVolume,
  sweepVolumes,
  volumesPath,
} from "../../src/volumes/store.ts";
import { containerId, makeRoom } from "./room.ts";

test("a volume is a directory that can be found again by its name", async () => {
  await using room = makeRoom();
  const made = await createVolume(room.store, { Name: "db.data-1", Labels: { a: "b" } });
  expect(made).toMatchObject({
    Name: "db.data-1",
    Driver: "local",
    Scope: "local",
    Labels: { a: "b" },
    Options: null,
    Mountpoint: join(room.top, "data/volumes/db.data-1/_data"),
  });
  expect(made.CreatedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  expect(statSync(made.Mountpoint).mode & 0o7777).toBe(0o755);
  expect(await localVolumes(room.store).inspect("db.data-1")).toEqual(made);
  expect(room.events.map(({ action, name }) => `${action} ${name}`)).toEqual(["create db.data-1"]);
});

test("making a volume again gives the one that is there", async () => {
  await using room = makeRoom();
  const first = await createVolume(room.store, { Name: "twice", Labels: { first: "yes" } });
  writeFileSync(join(first.Mountpoint, "kept"), "x");
  const second = await createVolume(room.store, { Name: "twice", Labels: { first: "no" } });
  expect(second).toEqual(first);
  expect(readdirSync(second.Mountpoint)).toEqual(["kept"]);
  expect(room.events).toHaveLength(1);
});

test("a volume without a name gets 64 hex digits and the anonymous label", async () => {
  await using room = makeRoom();
  const made = await createVolume(room.store, {});
  expect(made.Name).toMatch(/^[0-9a-f]{64}$/);
  expect(made.Labels).toEqual({ "com.docker.volume.anonymous": "" });
});

test("names that are no names are refused in Docker's words", async () => {
  await using room = makeRoom();
  const message = (name: string) =>
    `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`;
  for (const name of ["x/y", "../up", ".hidden", "a b", "a\0b", "-dash"]) {
    await expect(createVolume(room.store, { Name: name })).rejects.toThrow(
      new InvalidParameter(message(name)),
    );
  }
  await expect(createVolume(room.store, { Name: "x" })).rejects.toThrow(
    "create x: volume name is too short, names should be at least two alphanumeric characters",
  );
  await expect(createVolume(room.store, { Name: "n".repeat(256) })).rejects.toThrow(InvalidParameter);
  expect(existsSync(volumesPath(room.store.state))).toBe(false);
});

test("driver options are checked, and another driver is not found", async () => {
  await using room = makeRoom();
  const make = (DriverOpts: Record<string, string>) => createVolume(room.store, { Name: "vol", DriverOpts });
  await expect(make({ colour: "red" })).rejects.toThrow('create vol: invalid option: "colour"');
  await expect(make({ type: "tmpfs" })).rejects.toThrow('create vol: missing required option: "device"');
  await expect(make({ o: "ro" })).rejects.toThrow('create vol: missing required option: "device"');
  await expect(make({ size: "1g" })).rejects.toThrow("create vol: quota size requested but no quota support");
  await expect(createVolume(room.store, { Name: "vol", Driver: "netapp" })).rejects.toThrow(
    new NotFound('create vol: error looking up volume plugin netapp: plugin "netapp" not found'),
  );
  expect(await localVolumes(room.store).list()).toEqual({ Volumes: [], Warnings: null });
});

test("a volume that a container refers to is not removed", async () => {
  await using room = makeRoom();
  const made = await createVolume(room.store, { Name: "kept" });
  const id = containerId("a");
  recordUse(room.store.state, "kept", id);
  await expect(removeVolume(room.store, "kept")).rejects.toThrow(
    new Conflict(`remove kept: volume is in use - [${id}]`),
  );
  await expect(removeVolume(room.store, "kept", { force: true })).rejects.toThrow(Conflict);
  expect(existsSync(made.Mountpoint)).toBe(true);
  expect(forgetUses(room.store.state, id)).toEqual([]);
  await removeVolume(room.store, "kept");
  expect(readdirSync(volumesPath(room.store.state))).toEqual([]);
  expect(room.events.map(({ action }) => action)).toEqual(["create", "destroy"]);
});

test("removing what is not there is an error, unless forced", async () => {
  await using room = makeRoom();
  await expect(removeVolume(room.store, "ghost")).rejects.toThrow(new NotFound("get ghost: no such volume"));
  await removeVolume(room.store, "ghost", { force: true });
  await expect(localVolumes(room.store).inspect("ghost")).rejects.toThrow("get ghost: no such volume");
});

test("the list is filtered by name, label, use and driver", async () => {
  await using room = makeRoom();
  await createVolume(room.store, { Name: "web-data", Labels: { tier: "front", on: "" } });
  await createVolume(room.store, { Name: "db-data", Labels: { tier: "back" } });
  await createVolume(room.store, { Name: "cache" });
  recordUse(room.store.state, "cache", containerId("b"));
  const volumes = localVolumes(room.store);
  const names = async (filters: Record<string, string[]>) =>
    (await volumes.list(filters)).Volumes.map((volume) => volume.Name);
  expect(await names({})).toEqual(["cache", "db-data", "web-data"]);
  expect(await names({ name: ["data"] })).toEqual(["db-data", "web-data"]);
  expect(await names({ label: ["tier"] })).toEqual(["db-data", "web-data"]);
  expect(await names({ label: ["tier=front", "on"] })).toEqual(["web-data"]);
  expect(await names({ dangling: ["true"] })).toEqual(["db-data", "web-data"]);
  expect(await names({ dangling: ["false"] })).toEqual(["cache"]);
  expect(await names({ driver: ["nfs"] })).toEqual([]);
  await expect(volumes.list({ size: ["1"] })).rejects.toThrow("invalid filter 'size'");
  await expect(volumes.list({ dangling: ["maybe"] })).rejects.toThrow("invalid filter 'dangling=[maybe]'");
});

test("prune takes anonymous volumes that nobody uses, and all of them when asked", async () => {
  await using room = makeRoom();
  const anonymous = await createVolume(room.store, {});
  const used = await createVolume(room.store, {});
  await createVolume(room.store, { Name: "named", Labels: { keep: "yes" } });
  writeFileSync(join(anonymous.Mountpoint, "five"), "12345");
  recordUse(room.store.state, used.Name, containerId("c"));
  const volumes = localVolumes(room.store);
  expect(await volumes.prune()).toEqual({ VolumesDeleted: [anonymous.Name], SpaceReclaimed: 5 });
  expect(await volumes.prune({ all: ["true"], "label!": ["keep"] })).toEqual({
    VolumesDeleted: [],
    SpaceReclaimed: 0,
  });
  expect(await volumes.prune({ all: ["true"] })).toEqual({ VolumesDeleted: ["named"], SpaceReclaimed: 0 });
  expect((await volumes.list()).Volumes.map(({ Name }) => Name)).toEqual([used.Name]);
});

test("a symlink in a volume is not followed when the volume is removed", async () => {
  await using room = makeRoom();
  const outside = join(room.top, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "x");
  const made = await createVolume(room.store, { Name: "links" });
  const { symlinkSync } = await import("node:fs");
  symlinkSync(outside, join(made.Mountpoint, "way-out"));
  await removeVolume(room.store, "links");
  expect(readdirSync(outside)).toEqual(["precious"]);
});

test("a removal that a crash interrupted is finished, and the name gives a new, empty volume", async () => {
  await using room = makeRoom();
  const { state } = room.store;
  for (const name of ["one", "two"]) {
    const made = await createVolume(room.store, { Name: name });
    writeFileSync(join(made.Mountpoint, "old"), "x");
    // As a process leaves it that died right after it wrote its intent down.
    state.db
      .query("UPDATE volumes SET record = json_set(record, '$.removing', json('true')) WHERE name = ?")
      .run(name);
  }
  expect((await localVolumes(room.store).list()).Volumes).toEqual([]);
  const again = await createVolume(room.store, { Name: "one" });
  expect(readdirSync(again.Mountpoint)).toEqual([]);
  await sweepVolumes(room.store, () => true);
  expect(readdirSync(volumesPath(state))).toEqual(["one"]);
  expect(state.db.query<{ name: string }, []>("SELECT name FROM volumes").all()).toEqual([{ name: "one" }]);
});

test("a record whose directory a crash left out is made whole at its next use", async () => {
  await using room = makeRoom();
  await createVolume(room.store, { Name: "bare" });
  rmSync(join(volumesPath(room.store.state), "bare"), { recursive: true });
  const plan = await room.plan(containerId("d"), { Binds: ["bare:/data"] });
  const [mount] = await room.start(containerId("d"), plan);
  expect(mount?.source).toBe(mountpointOf(room.store.state, "bare"));
  expect(existsSync(mount?.source ?? "")).toBe(true);
});

test("the sweep takes what a container that never came to be has left, and nothing else", async () => {
  await using room = makeRoom();
  const [lost, live] = [containerId("e"), containerId("f")];
  await room.plan(lost, { Binds: ["named:/n"] }, { Volumes: { "/a": {} } });
  await room.plan(live, {}, { Volumes: { "/a": {} } });
  await sweepVolumes(room.store, (id) => id === live);
  const left = (await localVolumes(room.store).list()).Volumes;
  expect(left).toHaveLength(2);
  expect(left.map(({ Name }) => Name)).toContain("named");
  await removeVolume(room.store, "named");
});

test("rm -v takes a container's own anonymous volumes, not those that it named", async () => {
  await using room = makeRoom();
  const { state } = room.store;
  const id = containerId("1");
  const mine = await createVolume(room.store, {});
  const plan = await room.plan(id, { Binds: [`${mine.Name}:/mine`, "named:/named", "/anonymous"] });
  const unnamed = plan.mounts.find((mount) => mount.anonymous)?.volume ?? "";
  expect(unnamed).toMatch(/^[0-9a-f]{64}$/);
  const free = state.transaction(() => forgetUses(state, id, plan.mounts));
  expect(free).toEqual([unnamed]);
  expect(await removeUnused(room.store, free)).toEqual([unnamed]);
  const left = (await localVolumes(room.store).list()).Volumes.map(({ Name }) => Name);
  expect(left.sort()).toEqual([mine.Name, "named"].sort());
});

test("two processes that make and remove the same volume at once leave a whole state", async () => {
  await using room = makeRoom();
  const { instance } = room.store.state;
  const script = `
    import { openState } from "./src/state/state.ts";
    import { describeInstance } from "./src/core/instance.ts";
    import { createVolume, removeVolume } from "./src/volumes/store.ts";
    const state = openState(describeInstance(${JSON.stringify(instance.dataRoot)}, ${JSON.stringify(instance.execRoot)}));
    const store = { state, emit() {} };
    for (let round = 0; round < 30; round += 1) {
      await createVolume(store, { Name: "shared" });
      await removeVolume(store, "shared", { force: true });
    }
    state.close();`;
  const children = [1, 2, 3].map(() =>
    Bun.spawn([process.execPath, "-e", script], {
      cwd: join(import.meta.dir, "../.."),
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    }),
  );
  expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0, 0]);
  expect(readdirSync(volumesPath(room.store.state))).toEqual([]);
  expect((await localVolumes(room.store).list()).Volumes).toEqual([]);
});
