/** Working containers by the command line: what each of Buildah's verbs does, and what it leaves. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
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

describe("a shell script", () => {
  test("builds an image without a Dockerfile, by the name of buildah too", async () => {
    const directory = bench.files({ "app/run.sh": "#!/bin/sh\necho from $0 in $MODE\n", "app/data": "x" });
    writeFileSync(
      join(directory, "build.sh"),
      `set -eu
c=$(buildah from ${image})
buildah run "$c" -- sh -c 'mkdir /srv && echo made > /srv/made'
buildah copy -q "$c" app /srv/app
buildah run "$c" -- chmod +x /srv/app/run.sh
buildah config --env MODE=earnest --workingdir /srv --entrypoint '["/srv/app/run.sh"]' --cmd '' "$c"
m=$(buildah mount "$c")
echo mounted > "$m/srv/by-mount"
buildah umount "$c" >/dev/null
buildah commit -q --rm "$c" scripted:1 >/dev/null
buildah containers -q
`,
    );
    const script = Bun.spawnSync(["sh", "build.sh"], {
      cwd: directory,
      env: { ...process.env, ...bench.davit.env, PATH: `${bench.davit.directory}:${process.env.PATH}` },
    });
    expect(script.stderr.toString()).not.toContain("Error");
    expect(script.exitCode).toBe(0);
    expect(await bench.davit.output(["images", "--format", "{{.Repository}}:{{.Tag}}"])).toContain(
      "scripted:1",
    );
    const run = (...words: string[]) => bench.davit.output(["run", "--rm", "--network", "none", ...words]);
    expect(await run("scripted:1")).toBe("from /srv/app/run.sh in earnest");
    expect(await run("--entrypoint", "cat", "scripted:1", "made", "by-mount", "app/data")).toBe(
      "made\nmounted\nx",
    );
  });

  test("may give Buildah's own global flags", async () => {
    const { dataRoot, execRoot } = bench.davit.instance;
    const flags = [
      "--root",
      dataRoot,
      `--runroot=${execRoot}`,
      "--storage-driver",
      "overlay",
      "--log-level",
      "error",
    ];
    const named = Bun.spawnSync([bench.program, ...flags, "from", "--name", "flagged", image]);
    expect(named.stderr.toString()).toBe("");
    expect(named.stdout.toString()).toBe("flagged\n");
    expect(await bench.output("rm", "flagged")).toMatch(/^[0-9a-f]{64}$/);
    const version = Bun.spawnSync([bench.program, "--version"]);
    expect(version.stdout.toString()).toMatch(/^davit version /);
  });
});

describe("from", () => {
  test("makes up names as Buildah does, and refuses one that is taken", async () => {
    const made = [await bench.output("from", image), await bench.output("from", image)];
    expect(made).toEqual([`${image}-working-container`, `${image}-working-container-1`]);
    expect(await bench.output("from", "scratch")).toBe("working-container");
    const taken = await bench.run(["from", "--name", "working-container", image]);
    expect(taken.code).toBe(125);
    expect(taken.stderr).toMatch(
      /^Error: creating container: the container name "working-container" is already in use/,
    );
    await bench.output("rm", ...made, "working-container");
  });

  test("says what image is not known, and what name is none", async () => {
    const unknown = await bench.run(["from", "--pull=never", "no-such-image"]);
    expect(unknown).toMatchObject({ code: 125, stderr: "Error: no-such-image: image not known\n" });
    const wrong = await bench.run(["from", "--name", "a/b", image]);
    expect(wrong.code).toBe(125);
    expect(wrong.stderr).toContain("names must match");
    expect((await bench.run(["from"])).stderr).toContain('an image name (or "scratch") must be specified');
  });

  test("takes an archive", async () => {
    const archive = join(bench.davit.directory, "image.tar");
    await bench.davit.output(["save", "-o", archive, image]);
    const name = await bench.output("from", "--name", "of-archive", `docker-archive:${archive}`);
    expect(await bench.output("containers", "--filter", `name=${name}`, "--format", "{{.ImageName}}")).toBe(
      "docker.io/library/davit-busybox:latest",
    );
    await bench.output("rm", name);
  });

  test("keeps its image from being removed", async () => {
    const work = await container();
    await bench.output("run", work, "--", "touch", "/x");
    const id = await bench.output("commit", "-q", work, "base:1");
    const stands = await container("base:1");
    const refused = await bench.davit.run(["rmi", id]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("container");
    await bench.davit.output(["image", "prune", "--all", "--force"]);
    expect(await bench.output("run", stands, "--", "ls", "/x")).toBe("/x");
    await bench.output("rm", stands);
    await bench.davit.output(["rmi", "base:1"]);
  });
});

describe("run", () => {
  test("gives its input to the program, and its exit status back", async () => {
    const work = await container();
    const echoed = await bench.run(["run", work, "--", "cat"], { stdin: "typed" });
    expect(echoed).toMatchObject({ code: 0, stdout: "typed" });
    const failed = await bench.run(["run", work, "sh", "-c", "echo why >&2; exit 7"]);
    expect(failed).toMatchObject({ code: 7, stderr: "why\nError: while running runtime: exit status 7\n" });
    const missing = await bench.run(["run", work, "--", "no-such-program"]);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain('exec: "no-such-program": executable file not found in $PATH');
  });

  test("is told where, as whom and with what", async () => {
    const work = await container();
    const flags = ["--user", "user", "--workingdir", "/tmp/new", "--env", "A=1", "--hostname", "elsewhere"];
    const text = await bench.output(
      "run",
      ...flags,
      work,
      "--",
      "sh",
      "-c",
      'pwd; id -u; echo "$A"; hostname',
    );
    expect(text).toBe("/tmp/new\n1000\n1\nelsewhere");
    const drop = ["--cap-drop", "ALL", "--cap-add", "net_admin"];
    expect(await bench.output("run", ...drop, work, "--", "grep", "CapEff", "/proc/self/status")).toBe(
      "CapEff:\t0000000000001000",
    );
    const unknown = await bench.run(["run", "--user", "nobody-knows", work, "--", "true"]);
    expect(unknown.code).toBe(125);
    expect(unknown.stderr).toContain("unable to find user nobody-knows");
  });

  test("mounts what is asked for, and leaves none of it behind", async () => {
    const directory = bench.files({ file: "shown" });
    const work = await container();
    const volume = ["--volume", `${directory}:/shown:ro`];
    const bind = ["--mount", `type=bind,src=${directory}/file,target=/one`];
    const tmpfs = ["--mount", "type=tmpfs,target=/temporary"];
    const script = "cat /shown/file /one; echo x > /temporary/x; ! touch /shown/y 2>/dev/null";
    const text = await bench.output("run", ...volume, ...bind, ...tmpfs, work, "--", "sh", "-c", script);
    expect(text).toBe("shownshown");
    const cache = ["--mount", "type=cache,target=/cache,id=working"];
    await bench.output("run", ...cache, work, "--", "sh", "-c", "echo kept > /cache/x");
    expect(await bench.output("run", ...cache, work, "--", "cat", "/cache/x")).toBe("kept");
    const root = await bench.output("mount", work);
    for (const name of ["shown", "one", "temporary", "cache", "etc/hosts", "etc/resolv.conf"]) {
      expect(existsSync(join(root, name))).toBe(false);
    }
    expect(statSync(join(root, "etc")).mtimeMs).toBe(0);
    await bench.output("umount", work);
    const wrong = await bench.run(["run", "--volume", "/no/such/place:/x", work, "--", "true"]);
    expect(wrong).toMatchObject({
      code: 125,
      stderr: "Error: stat /no/such/place: no such file or directory\n",
    });
  });

  test("runs beside another run and a copy", async () => {
    const directory = bench.files({ file: "copied" });
    const work = await container();
    const long = bench.davit.spawn([
      "buildah",
      "run",
      work,
      "--",
      "sh",
      "-c",
      "cat; cat /etc/hosts; cat /file",
    ]);
    await bench.output("run", work, "--", "touch", "/other");
    await bench.output("copy", work, join(directory, "file"), "/file");
    long.stdin.write("typed\n");
    await long.stdin.end();
    const text = await long.stdout.text();
    expect(await long.exited).toBe(0);
    expect(text).toStartWith("typed\n127.0.0.1\tlocalhost");
    expect(text).toEndWith("copied");
    const root = await bench.output("mount", work);
    expect(existsSync(join(root, "etc/hosts"))).toBe(false);
    expect(existsSync(join(root, "other"))).toBe(true);
    await bench.output("umount", work);
  });
});

describe("copy and add", () => {
  test("put files where they are meant, and make them root's", async () => {
    const directory = bench.files({ one: "1", "tree/two": "2", "tree/deep/three": "3" });
    chownSync(join(directory, "one"), 1000, 1000);
    const work = await container();
    await bench.output("config", "--workingdir", "/work", work);
    const at = (name: string) => join(directory, name);
    await bench.output("copy", work, at("one"));
    await bench.output("copy", work, at("one"), at("tree"), "/several");
    await bench.output("copy", work, at("tree"), "/tree");
    await bench.output("copy", work, join(directory, "*"), "wild");
    await bench.output("copy", "--chown", "user:staff", "--chmod", "640", work, at("one"), "/owned");
    const root = await bench.output("mount", work);
    const read = (name: string) => readFileSync(join(root, name), "utf8");
    expect([read("work/one"), read("several/one"), read("several/two"), read("tree/deep/three")]).toEqual([
      "1",
      "1",
      "2",
      "3",
    ]);
    expect([read("work/wild/one"), read("work/wild/deep/three")]).toEqual(["1", "3"]);
    expect(statSync(join(root, "work/one")).uid).toBe(0);
    const owned = statSync(join(root, "owned"));
    expect([owned.uid, owned.gid, owned.mode & 0o7777]).toEqual([1000, 50, 0o640]);
    await bench.output("umount", work);
  });

  test("take an archive apart or leave it whole", async () => {
    const directory = bench.files({ "tree/file": "x" });
    const archive = join(directory, "tree.tar.gz");
    Bun.spawnSync(["tar", "-czf", archive, "-C", directory, "tree"]);
    const work = await container();
    await bench.output("add", work, archive, "/unpacked/");
    await bench.output("copy", work, archive, "/whole/");
    expect(await bench.output("run", work, "--", "sh", "-c", "find /unpacked /whole -type f | sort")).toBe(
      "/unpacked/tree/file\n/whole/tree.tar.gz",
    );
  });

  test("take what a URL leads to", async () => {
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("from afar") });
    const work = await container();
    await bench.output("add", work, `http://127.0.0.1:${server.port}/some/name.txt`, "/got/");
    expect(await bench.output("run", work, "--", "cat", "/got/name.txt")).toBe("from afar");
  });

  test("take from other containers and images", async () => {
    const [work, other] = [await container(), await container()];
    await bench.output("run", other, "--", "sh", "-c", "echo theirs > /theirs");
    await bench.output("copy", "--from", other, work, "/theirs", "/mine");
    await bench.output("copy", "--from", image, work, "/etc/passwd", "/passwd");
    await bench.output("copy", "--from", work, work, "/mine", "/again");
    expect(await bench.output("run", work, "--", "sh", "-c", "cat /mine /again; head -c4 /passwd")).toBe(
      "theirs\ntheirs\nroot",
    );
    const unknown = await bench.run(["copy", "--from", "No/Such", work, "/x", "/x"]);
    expect(unknown.code).toBe(125);
    expect(unknown.stderr).toContain('no container named "No/Such", error copying content from image');
  });

  test("do not leave the context directory, and heed its ignore file", async () => {
    const directory = bench.files({
      "ctx/keep": "k",
      "ctx/skip/x": "s",
      "ctx/skip/not": "n",
      secret: "outside",
    });
    symlinkSync("../secret", join(directory, "ctx/way-out"));
    writeFileSync(join(directory, "ignore"), "# some\nskip\n!skip/not\n");
    const work = await container();
    const flags = ["--contextdir", join(directory, "ctx")];
    for (const source of ["../secret", "way-out", "/../secret"]) {
      const escaping = await bench.run(["copy", ...flags, work, source, "/escaped"]);
      expect(escaping.code).toBe(125);
      expect(escaping.stderr).toContain("no such file or directory");
    }
    await bench.output("copy", ...flags, "--ignorefile", join(directory, "ignore"), work, "/", "/all");
    expect(await bench.output("run", work, "--", "sh", "-c", "find /all -type f | sort")).toBe(
      "/all/keep\n/all/skip/not",
    );
    const alone = await bench.run(["copy", "--ignorefile", join(directory, "ignore"), work, "/", "/all"]);
    expect(alone.stderr).toContain("--ignorefile option requires that you specify a context dir");
  });

  test("do not write outside the container, whatever links it holds", async () => {
    const directory = bench.files({ file: "mine" });
    const outside = join(bench.davit.directory, "outside");
    mkdirSync(outside);
    const work = await container();
    await bench.output("run", work, "--", "ln", "-s", outside, "/link");
    await bench.output("copy", work, join(directory, "file"), "/link/");
    expect(existsSync(join(outside, "file"))).toBe(false);
    expect(await bench.output("run", work, "--", "cat", `${outside}/file`)).toBe("mine");
  });

  test("say what is not there, and change nothing", async () => {
    const work = await container();
    const missing = await bench.run(["copy", work, "no-such-file", "/x"]);
    expect(missing.code).toBe(125);
    expect(missing.stderr).toBe(
      `Error: adding content to container "${work}": checking on sources under "/": copier: stat: ` +
        `"${bench.davit.directory}/no-such-file": no such file or directory\n`,
    );
    const nothing = await bench.run(["copy", work, "no-such-*", "/x"]);
    expect(nothing.stderr).toContain("no such file or directory");
    expect((await bench.run(["copy", work])).stderr).toBe("Error: src must be specified\n");
    expect((await bench.run(["copy", "nobody", "x"])).stderr).toBe(
      'Error: reading build container "nobody": container not known\n',
    );
  });
});
