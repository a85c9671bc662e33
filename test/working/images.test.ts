/** What working containers say, how they are seen and listed, and the images that are made of them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRegistry } from "../registry/server-world.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

const image = "davit-busybox";

let bench: Workbench;
beforeAll(async () => {
  bench = await openWorkbench();
  // Keeps the image, whatever is pruned.
  await bench.output("from", "--name", "keeper", image);
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

let count = 0;
/** A working container with a name of its own. */
async function container(base = image, ...flags: string[]): Promise<string> {
  count += 1;
  return await bench.output("from", "--name", `test-${count}`, ...flags, base);
}

interface Inspection {
  OCIv1: { config: Record<string, unknown>; author?: string; architecture: string };
  Docker: { config: Record<string, unknown> };
  ImageAnnotations: Record<string, string>;
  History: { created_by: string; comment?: string; empty_layer?: boolean }[];
}

async function inspected(name: string): Promise<Inspection> {
  return JSON.parse(await bench.output("inspect", name));
}

describe("config", () => {
  test("sets what an image says, and takes it away again", async () => {
    const work = await container();
    const set = [
      "--env",
      "X=1",
      "--env",
      "Y=$X:2",
      "--label",
      "a=b",
      "--label",
      "c",
      "--port",
      "80",
      "--volume",
      "/v",
    ];
    await bench.output("config", ...set, "--annotation", "n=o", "--cmd", '/bin/echo "hi there"', work);
    await bench.output(
      "config",
      "--user",
      "1000",
      "--author",
      "Me",
      "--arch",
      "arm64",
      "--stop-signal",
      "USR1",
      work,
    );
    const { OCIv1, ImageAnnotations } = await inspected(work);
    expect(OCIv1.config).toEqual({
      User: "1000",
      ExposedPorts: { "80": {} },
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "X=1", "Y=1:2"],
      Cmd: ["/bin/echo", "hi there"],
      Volumes: { "/v": {} },
      Labels: { a: "b", c: "" },
      StopSignal: "USR1",
    });
    expect([OCIv1.author, OCIv1.architecture, ImageAnnotations.n]).toEqual(["Me", "arm64", "o"]);
    const take = ["--env", "X-", "--label", "a-", "--port", "-", "--volume", "/v-", "--annotation", "-"];
    await bench.output("config", ...take, "--cmd", "", "--user", "", work);
    const after = await inspected(work);
    expect(after.OCIv1.config).toEqual({
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "Y=1:2"],
      Labels: { c: "" },
      StopSignal: "USR1",
    });
    expect(after.ImageAnnotations).toEqual({});
  });

  test("warns of what the format has no words for, and keeps it for Docker's", async () => {
    const work = await container();
    const health = [
      "--healthcheck",
      "CMD curl -f x",
      "--healthcheck-interval",
      "5s",
      "--healthcheck-retries",
      "4",
    ];
    const flags = [...health, "--shell", "/bin/ash -c", "--onbuild", "RUN x", "--hostname", "h"];
    const { code, stderr } = await bench.run(["config", ...flags, work]);
    expect(code).toBe(0);
    for (const what of ["SHELL", "HEALTHCHECK", "ONBUILD", "HOSTNAME"]) {
      expect(stderr).toContain(`level=warning msg="${what} is not supported for OCI`);
    }
    const { Docker, OCIv1 } = await inspected(work);
    expect(OCIv1.config).not.toHaveProperty("Healthcheck");
    expect(Docker.config).toMatchObject({
      Healthcheck: { Test: ["CMD", "curl", "-f", "x"], Interval: 5_000_000_000, Retries: 4 },
      Shell: ["/bin/ash", "-c"],
      OnBuild: ["RUN x"],
      Hostname: "h",
    });
    const id = await bench.output("commit", "-q", "--format", "docker", work);
    const [found] = JSON.parse(await bench.davit.output(["image", "inspect", id]));
    expect(found.Config).toMatchObject({ OnBuild: ["RUN x"], Shell: ["/bin/ash", "-c"] });
  });

  test("changes nothing when a value is none", async () => {
    const work = await container();
    const before = await inspected(work);
    for (const [flags, words] of [
      [["--cmd", 'open "quote'], 'parsing --cmd "open \\"quote": invalid command line string'],
      [["--env", "NOT_SET_ANYWHERE"], 'setting env "NOT_SET_ANYWHERE": no value given'],
      [
        ["--healthcheck-interval", "soon"],
        'parsing --healthcheck-interval "soon": time: invalid duration "soon"',
      ],
    ] as const) {
      const failed = await bench.run(["config", "--label", "l=1", ...flags, work]);
      expect(failed).toMatchObject({ code: 125, stderr: `Error: ${words}\n` });
    }
    expect(await inspected(work)).toEqual(before);
  });

  test("leaves a line in the history for each change when it is asked to", async () => {
    const work = await container();
    const flags = ["--env", "A=1", "--env", "B=2", "--cmd", "x y", "--workingdir", "/w", "--label", "l=m"];
    await bench.output("config", "--add-history", ...flags, work);
    await bench.output("run", "--add-history", work, "--", "echo", "a", "b c");
    const { History } = await inspected(work);
    expect(History.slice(1).map((line) => line.created_by)).toEqual([
      "/bin/sh -c #(nop) ENV A=1 B=2",
      "/bin/sh -c #(nop) CMD x y",
      "/bin/sh -c #(nop) LABEL l=m",
      "/bin/sh -c #(nop) WORKDIR /w",
      "/bin/sh -c echo a b c",
    ]);
  });
});

describe("mount", () => {
  test("shows a container's files until it is unmounted", async () => {
    const work = await container();
    const root = await bench.output("mount", work);
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toStartWith("root:");
    writeFileSync(join(root, "by-hand"), "written");
    expect(await bench.output("run", work, "--", "cat", "/by-hand")).toBe("written");
    // The run has not taken the mount away.
    expect(existsSync(join(root, "by-hand"))).toBe(true);
    expect(await bench.output("mount")).toBe(`${work} ${root}`);
    expect(JSON.parse(await bench.output("mount", "--json"))).toEqual([
      { container: work, mountPoint: root },
    ]);
    expect(await bench.output("umount", work)).toMatch(/^[0-9a-f]{64}$/);
    expect(existsSync(join(root, "by-hand"))).toBe(false);
    expect(await bench.output("unmount", work)).toBe("");
    expect((await bench.run(["umount", "nobody"])).stderr).toBe(
      "Error: error unmounting container nobody: container not known\n",
    );
  });
});

describe("commit", () => {
  test("makes an image of the base's layers and one more, again and again", async () => {
    const work = await container();
    await bench.output("run", work, "--", "sh", "-c", "echo 1 > /one; rm /etc/group");
    await bench.output("commit", "-q", work, "again:1");
    await bench.output("run", work, "--", "sh", "-c", "echo 2 > /two");
    await bench.output("commit", "-q", work, "again:2");
    const layers = async (name: string): Promise<string[]> =>
      JSON.parse(await bench.davit.output(["inspect", "--format", "{{json .RootFS.Layers}}", name]));
    const [base, first, second] = [await layers(image), await layers("again:1"), await layers("again:2")];
    expect([first.length, second.length]).toEqual([base.length + 1, base.length + 1]);
    expect(second[0]).toBe(base[0] ?? "");
    const run = (name: string, script: string) =>
      bench.davit.output(["run", "--rm", "--network", "none", name, "sh", "-c", script]);
    expect(await run("again:1", "cat /one; ls /etc/group /two 2>/dev/null || echo gone")).toBe("1\ngone");
    expect(await run("again:2", "cat /one /two")).toBe("1\n2");
    expect(await bench.davit.output(["system", "check"])).toContain("no damage found");
  });

  test("gives the same image for the same content when its time is given", async () => {
    const ids: string[] = [];
    for (const flags of [[], [], ["--squash"], ["--squash"]]) {
      const work = await container();
      await bench.output("run", work, "--", "sh", "-c", "date > /dev/null; mkdir -p /a/b; echo x > /a/b/c");
      ids.push(await bench.output("commit", "-q", "--timestamp", "1000", ...flags, "--rm", work));
    }
    expect(ids[0]).toBe(ids[1] ?? "");
    expect(ids[2]).toBe(ids[3] ?? "");
    expect(ids[0]).not.toBe(ids[2] ?? "");
    const [found] = JSON.parse(await bench.davit.output(["image", "inspect", ids[2] ?? ""]));
    expect(found.Created).toStartWith("1970-01-01T00:16:40");
    expect(found.RootFS.Layers).toHaveLength(1);
  });

  test("writes to other places, and then nothing is here", async () => {
    const work = await container();
    await bench.output("config", "--label", "to=elsewhere", "--env", "GONE=1", work);
    const layout = join(bench.davit.directory, "layout");
    const archive = join(bench.davit.directory, "out.tar");
    const before = await bench.davit.output(["images", "-aq"]);
    expect(await bench.output("commit", "-q", "--unsetenv", "GONE", work, `oci:${layout}:tag`)).toBe("");
    expect(
      await bench.output("commit", "-q", "--omit-history", work, `docker-archive:${archive}:a/b:1`),
    ).toBe("");
    expect(await bench.davit.output(["images", "-aq"])).toBe(before);
    await bench.davit.output(["image", "copy", "-q", `oci:${layout}:tag`, "came:back"]);
    const [found] = JSON.parse(await bench.davit.output(["image", "inspect", "came:back"]));
    expect(found.Config.Labels).toEqual({ to: "elsewhere" });
    expect(found.Config.Env).not.toContain("GONE=1");
    await bench.davit.output(["load", "-q", "-i", archive]);
    expect(await bench.davit.output(["history", "-q", "a/b:1"])).toBe("");
    const wrong = await bench.run(["commit", work, "Not A Name"]);
    expect(wrong.code).toBe(125);
    expect(wrong.stderr).toStartWith("Error: invalid reference format");
  });

  test("says who the image is: file, name, history", async () => {
    const work = await container();
    const idFile = join(bench.davit.directory, "iid");
    await bench.output("config", "--created-by", "by me", "--author", "Me", work);
    expect(await bench.output("commit", "-q", "--iidfile", idFile, work, "told:1")).toBe("");
    expect(readFileSync(idFile, "utf8")).toBe(
      await bench.davit.output(["inspect", "--format", "{{.ID}}", "told:1"]),
    );
    const format = "{{.CreatedBy}}|{{.Comment}}";
    expect(await bench.davit.output(["history", "--no-trunc", "--format", format, "told:1"])).toBe(
      "by me|FROM docker.io/library/davit-busybox:latest\nbusybox-static|",
    );
  });

  test("needs its base image, or --squash", async () => {
    const first = await container();
    await bench.output("run", first, "--", "touch", "/mark");
    await bench.output("commit", "-q", "--rm", first, "short-lived");
    const work = await container("short-lived");
    await bench.davit.output(["rmi", "--force", "short-lived"]);
    const failed = await bench.run(["commit", work, "orphan"]);
    expect(failed.code).toBe(125);
    expect(failed.stderr).toContain("short-lived:latest was removed: commit it with --squash");
    await bench.output("commit", "-q", "--squash", work, "orphan");
    expect(await bench.davit.output(["run", "--rm", "--network", "none", "orphan", "ls", "/mark"])).toBe(
      "/mark",
    );
  });
});

describe("containers", () => {
  test("are listed as Buildah lists them", async () => {
    const work = await container();
    const [{ id }] = JSON.parse(await bench.output("containers", "--json", "--filter", `name=${work}`));
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    const filter = ["--filter", `id=${id}`];
    expect(await bench.output("containers", ...filter, "--quiet")).toBe(id);
    const format = "{{.ContainerID}} {{.ContainerName}} {{.ImageName}}";
    expect(await bench.output("ps", ...filter, "--format", format)).toBe(
      `${id.slice(0, 12)} ${work} docker.io/library/davit-busybox:latest`,
    );
    expect(await bench.output("ls", ...filter)).toStartWith(
      "CONTAINER ID  BUILDER  IMAGE ID     IMAGE NAME                       CONTAINER NAME\n",
    );
    expect(await bench.output("containers", ...filter, "--noheading")).toStartWith(
      `${id.slice(0, 12)}     *     `,
    );
    const wrong = await bench.run(["containers", "--filter", "colour=red"]);
    expect(wrong).toMatchObject({ code: 125, stderr: 'Error: parsing filter: invalid filter "colour"\n' });
  });

  test("are found by name and by the beginning of their id, renamed and removed", async () => {
    const work = await container();
    const id = await bench.output("inspect", "--format", "{{.ContainerID}}", work);
    await bench.output("rename", id.slice(0, 12), "renamed");
    expect(await bench.output("inspect", "--format", "{{.Container}}", id)).toBe("renamed");
    expect(await bench.output("rm", "renamed")).toBe(id);
    expect((await bench.run(["rm", "renamed"])).stderr).toBe(
      'Error: removing container "renamed": container not known\n',
    );
  });

  test("may be meant by Docker's verbs where nothing else has their name", async () => {
    const work = await container();
    expect(await bench.davit.output(["run", work, "--", "echo", "inside"])).toBe("inside");
    expect(await bench.davit.output(["inspect", "--format", "{{.Container}}", work])).toBe(work);
    expect(await bench.davit.output(["rm", work])).toBe(work);
    expect((await bench.davit.run(["rm", work])).stderr).toContain(`No such container: ${work}`);
  });
});

describe("images of Buildah's commands", () => {
  test("are listed in full, pushed to places, and inspected", async () => {
    const layout = join(bench.davit.directory, "pushed");
    expect(await bench.output("images", "--format", "{{.Name}}:{{.Tag}}", image)).toBe(
      "docker.io/library/davit-busybox:latest",
    );
    const [id] = (await bench.output("images", "-q", image)).split("\n");
    expect(await bench.output("images", "--noheading", image)).toContain(` ${id} `);
    await bench.output("push", "-q", image, `oci:${layout}:x`);
    expect(existsSync(join(layout, "index.json"))).toBe(true);
    expect(await bench.output("inspect", "--type", "image", "--format", "{{.OCIv1.Config.Cmd}}", image)).toBe(
      "[sh]",
    );
    const unknown = await bench.run(["push", "nobody"]);
    expect(unknown.stderr).toBe(
      'Error: pushing image "nobody" to "docker://nobody": nobody: image not known\n',
    );
  });

  test("come of a Containerfile too", async () => {
    const context = bench.files({
      Containerfile: `FROM ${image}\nRUN echo built > /built\n`,
      Dockerfile: "FROM no-such",
    });
    const { code } = await bench.run(["bud", "--layers", "-q", "-t", "of-containerfile"], { cwd: context });
    expect(code).toBe(0);
    expect(
      await bench.davit.output(["run", "--rm", "--network", "none", "of-containerfile", "cat", "/built"]),
    ).toBe("built");
  });
});

describe("a registry", () => {
  test("gets what is committed and pushed, and gives it back", async () => {
    await using registry = await startRegistry();
    const host = new URL(registry.address).host;
    const work = await container();
    await bench.output("run", "--network", "none", work, "--", "sh", "-c", "echo sent > /sent");
    const before = await bench.davit.output(["images", "-aq"]);
    expect(await bench.output("commit", "-q", work, `docker://${host}/committed:1`)).toBe("");
    expect(await bench.davit.output(["images", "-aq"])).toBe(before);
    const manifest: { layers: { mediaType: string }[] } = JSON.parse(
      await (await registry.call("/v2/committed/manifests/1")).text(),
    );
    expect(manifest.layers).toHaveLength(2);
    for (const { mediaType } of manifest.layers) expect(mediaType).toEndWith("tar+gzip");

    const again = await bench.output("from", "--quiet", `docker://${host}/committed:1`);
    expect(again).toBe("committed-working-container");
    expect(await bench.output("run", "--network", "none", again, "--", "cat", "/sent")).toBe("sent");
    await bench.output("commit", "-q", again, "to-push");
    const digestFile = join(bench.davit.directory, "digest");
    await bench.output("push", "-q", "--digestfile", digestFile, "to-push", `docker://${host}/pushed:2`);
    const pushed = await registry.call("/v2/pushed/manifests/2");
    expect(readFileSync(digestFile, "utf8")).toBe(pushed.headers.get("docker-content-digest") ?? "");
    expect(await bench.davit.output(["images", "-q", `${host}/pushed`])).toBe("");
    const id = await bench.output("pull", "-q", `${host}/pushed:2`);
    expect(`sha256:${id}`).toBe(await bench.davit.output(["inspect", "--format", "{{.ID}}", "to-push"]));
    const absent = await bench.run(["from", "--pull=always", `${host}/nobody`]);
    expect(absent.code).toBe(125);
    expect(absent.stderr).toContain("not found");
  });
});
