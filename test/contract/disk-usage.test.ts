/** `system df`: the same numbers as Docker's for the same images, containers and volumes. */
import { expect, test } from "bun:test";
import { busyboxImage } from "../harness/images.ts";
import { buildImage, dockerArchive } from "../images/support.ts";
import { tar } from "../images/tar.ts";
import { contract, messagesOf, uniqueName } from "./subjects.ts";

const shared = tar([
  { name: "shared/", type: "5" },
  { name: "shared/file", data: "s".repeat(50_000) },
  { name: "shared/twice", type: "1", link: "shared/file" },
  { name: "shared/link", type: "2", link: "file" },
]);
const first = { layers: [shared, tar([{ name: "one", data: "1".repeat(3_000) }])] };
const second = {
  layers: [shared, tar([{ name: "two", data: "2".repeat(7_000) }, { name: "shared/.wh.file" }])],
};

contract("disk usage", (subject) => {
  test("a layer that two images share is counted once, and each image tells what it shares", async () => {
    const names = [`${uniqueName("df")}:1`, `${uniqueName("df")}:2`] as const;
    const before = await subject.engine.system.diskUsage();
    const archive = dockerArchive({ ...first, tags: [names[0]] }, { ...second, tags: [names[1]] });
    async function* once(): AsyncGenerator<Uint8Array> {
      yield archive;
    }
    await messagesOf(subject.engine.images.load(once()));
    try {
      const usage = await subject.engine.system.diskUsage();
      const row = (name: string) => usage.Images.find(({ RepoTags }) => RepoTags.includes(name));
      expect(usage.LayersSize - before.LayersSize).toBe(50_000 + "file".length + 3_000 + 7_000);
      expect(row(names[0])).toMatchObject({
        Id: buildImage(first).id,
        Size: 53_004,
        SharedSize: 50_004,
        Containers: 0,
      });
      expect(row(names[1])).toMatchObject({ Size: 57_004, SharedSize: 50_004, Containers: 0 });
    } finally {
      for (const name of names) await subject.engine.images.remove(name);
    }
    const after = await subject.engine.system.diskUsage();
    expect(after.LayersSize).toBe(before.LayersSize);
    expect(after.Images).toHaveLength(before.Images.length);
  });

  test("a container's own layer is counted for it, and it for its image", async () => {
    const script = "head -c 123456 /dev/zero > /big; mkdir /dir; ln /big /dir/again; ln -s big /link";
    await using container = await subject.start(["sh", "-c", script]);
    await subject.exitCodeOf(container.id);
    const { Containers, Images } = await subject.engine.system.diskUsage();
    const row = Containers.find(({ Id }) => Id === container.id);
    expect(row).toMatchObject({ SizeRw: 123_456 + "big".length, State: "exited" });
    const image = Images.find(({ RepoTags }) => RepoTags.includes(busyboxImage));
    expect(image?.Containers).toBe(1);
    expect(row?.SizeRootFs).toBe((image?.Size ?? 0) + 123_456 + "big".length);
  });

  test("volumes tell their size and how many containers refer to them", async () => {
    const [used, unused, elsewhere] = [uniqueName("vol"), uniqueName("vol"), uniqueName("vol")];
    const { volumes } = subject.engine;
    await volumes.create({ Name: unused });
    await volumes.create({ Name: elsewhere, DriverOpts: { type: "tmpfs", device: "tmpfs" } });
    {
      const HostConfig = { Binds: [`${used}:/data`] };
      await using writer = await subject.start(
        ["sh", "-c", "head -c 4321 /dev/zero > /data/f; ln /data/f /data/g"],
        {
          HostConfig,
        },
      );
      await subject.exitCodeOf(writer.id);
      await using _reader = await subject.create({ HostConfig });
      const { Volumes } = await subject.engine.system.diskUsage();
      const row = (name: string) => Volumes.find(({ Name }) => Name === name);
      expect(row(used)?.UsageData).toEqual({ Size: 4321, RefCount: 2 });
      expect(row(unused)?.UsageData).toEqual({ Size: 0, RefCount: 0 });
      expect(row(elsewhere)).toBeUndefined();
    }
    for (const name of [used, unused, elsewhere]) await volumes.remove(name);
  });
});
