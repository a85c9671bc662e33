/** The same script by davit and by the real Buildah, where that is installed: the images must say and hold the same. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busyboxArchive } from "../harness/images.ts";
import type { Finished } from "../harness/instance.ts";
import { openWorkbench, type Workbench } from "./workbench.ts";

const real = Bun.which("buildah");
if (real === null) console.warn("buildah is not installed: working containers are not compared with it");

/** Runs a command of Buildah's to its end. */
type Run = (words: readonly string[]) => Promise<Finished>;

describe.skipIf(real === null)("as Buildah", () => {
  let bench: Workbench;
  let own: string;
  let both: readonly { name: "davit" | "buildah"; run: Run; out: string }[];

  beforeAll(async () => {
    bench = await openWorkbench();
    own = mkdtempSync(join(tmpdir(), "davit-test-"));
    const roots = ["--storage-driver", "vfs", "--root", join(own, "root"), "--runroot", join(own, "run")];
    const buildah: Run = async (words) => {
      const child = Bun.spawn([real ?? "", ...roots, ...words], {
        env: { ...process.env, BUILDAH_ISOLATION: "chroot" },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      return { code: await child.exited, stdout, stderr };
    };
    both = [
      { name: "davit", run: bench.run, out: join(own, "davit") },
      { name: "buildah", run: buildah, out: join(own, "buildah") },
    ];
    for (const { out } of both) mkdirSync(out);
    const loaded = await buildah(["from", "--name", "keeper", `docker-archive:${await busyboxArchive()}`]);
    expect(loaded).toMatchObject({ code: 0 });
  }, 60_000);

  afterAll(async () => {
    for (const { name, run } of both) if (name === "buildah") await run(["rm", "--all"]);
    await bench[Symbol.asyncDispose]();
    rmSync(own, { recursive: true, force: true });
  });

  /** Does the same with both; `OUT` in a word is a directory of each one's own. @returns what each has come to */
  async function compare(script: readonly (readonly string[])[], format: "oci" | "docker" = "oci") {
    const results: unknown[] = [];
    for (const { run, out, name } of both) {
      for (const words of script) {
        const done = await run(words);
        if (done.code !== 0) throw new Error(`${name}: ${words.join(" ")}: ${done.stderr}`);
      }
      const mounted = await run(["mount", "work"]);
      const tree = listTree(mounted.stdout.trim());
      await run(["umount", "work"]);
      const image = join(out, `image-${results.length}-${Math.random().toString(36).slice(2)}`);
      const destination = format === "oci" ? `oci:${image}:x` : `docker-archive:${image}:name:1`;
      const committed = await run(["commit", "-q", "--format", format, "--rm", "work", destination]);
      if (committed.code !== 0) throw new Error(`${name}: commit: ${committed.stderr}`);
      results.push({ tree, ...(format === "oci" ? ociImage(image) : dockerImage(image)) });
    }
    return results;
  }

  const cases: Record<string, (directory: string) => string[][]> = {
    "a container that nothing was done to": () => [["from", "--name", "work", "davit-busybox"]],
    "nothing at all": () => [["from", "--name", "work", "scratch"]],
    "programs that make, change and remove files": () => [
      ["from", "--name", "work", "davit-busybox"],
      [
        "run",
        "work",
        "--",
        "sh",
        "-c",
        "mkdir -p /a/b; echo x > /a/b/c; ln -s b/c /a/link; ln /a/b/c /a/hard",
      ],
      ["run", "--user", "user", "work", "--", "sh", "-c", "echo mine > /tmp/mine; chmod 4755 /tmp/mine"],
      [
        "run",
        "--workingdir",
        "/var/www",
        "work",
        "--",
        "sh",
        "-c",
        "rm -r /home/user /etc/group; mkdir /home/user",
      ],
      ["run", "--add-history", "--env", "A=1", "work", "--", "sh", "-c", "echo $A > /env"],
    ],
    "files that are copied": (directory) => [
      ["from", "--name", "work", "davit-busybox"],
      ["config", "--workingdir", "/work", "work"],
      ["copy", "work", `${directory}/one`],
      ["copy", "work", `${directory}/one`, "renamed"],
      ["copy", "work", `${directory}/one`, "/into/"],
      ["copy", "work", `${directory}/tree`, "/tree"],
      ["copy", "work", `${directory}/tree/`, "/tree2/"],
      ["copy", "work", `${directory}/one`, `${directory}/tree`, "/several"],
      ["copy", "work", `${directory}/tree/t*`, "/wild/"],
      ["copy", "--chown", "1000:50", "--chmod", "600", "work", `${directory}/one`, "/owned"],
      ["copy", "--chown", "user", "work", `${directory}/tree`, "/owned-tree"],
      ["copy", "--add-history", "work", `${directory}/tree`, "/tree"],
      ["copy", "--contextdir", directory, "work", "/tree", "/of-context"],
    ],
    "archives that are added": (directory) => [
      ["from", "--name", "work", "davit-busybox"],
      ["add", "work", `${directory}/tree.tar`, "/unpacked"],
      ["add", "--add-history", "work", `${directory}/tree.tar.gz`, "/unpacked2/"],
      ["copy", "work", `${directory}/tree.tar`, "/whole/"],
      ["add", "work", `${directory}/one`, "/plain"],
    ],
    "files of a container and an image": () => [
      ["from", "--name", "work", "davit-busybox"],
      ["run", "work", "--", "sh", "-c", "echo made > /made; chown 1000 /made"],
      ["copy", "--from", "work", "work", "/made", "/copied"],
      ["copy", "--from", "davit-busybox", "work", "/home", "/homes"],
    ],
    settings: () => [
      ["from", "--name", "work", "davit-busybox"],
      [
        "config",
        "--env",
        "X=1",
        "--env",
        "Y=2",
        "--env",
        "PATH=/opt/bin:$PATH",
        "--label",
        "a=b",
        "--label",
        "c",
        "work",
      ],
      [
        "config",
        "--annotation",
        "n=o",
        "--port",
        "80",
        "--port",
        "90/udp",
        "--volume",
        "/v",
        "--user",
        "1000:50",
        "work",
      ],
      ["config", "--cmd", "/bin/echo \"hi there\" 'two  blanks' a\\ b", "--workingdir", "/srv", "work"],
      ["config", "--author", "Me", "--created-by", "by me", "--stop-signal", "SIGUSR1", "work"],
      [
        "config",
        "--os",
        "linux",
        "--arch",
        "arm64",
        "--variant",
        "v8",
        "--os-version",
        "1.2",
        "--os-feature",
        "f",
        "work",
      ],
    ],
    "settings that are taken away": () => [
      ["from", "--name", "work", "davit-busybox"],
      [
        "config",
        "--env",
        "X=1",
        "--env",
        "Y=2",
        "--label",
        "a=b",
        "--label",
        "c=d",
        "--port",
        "80",
        "--port",
        "81",
        "work",
      ],
      [
        "config",
        "--volume",
        "/v",
        "--volume",
        "/w",
        "--cmd",
        "x",
        "--entrypoint",
        '["e", "f g"]',
        "--user",
        "u",
        "work",
      ],
      [
        "config",
        "--env",
        "X-",
        "--label",
        "a-",
        "--port",
        "80-",
        "--volume",
        "/v-",
        "--cmd",
        "",
        "--user",
        "",
        "work",
      ],
      ["config", "--annotation", "-", "work"],
    ],
    "entry points": () => [
      ["from", "--name", "work", "davit-busybox"],
      ["config", "--entrypoint", "/start --now", "--cmd", '["a", "b c"]', "work"],
    ],
    "a history of settings": () => [
      ["from", "--name", "work", "davit-busybox"],
      [
        "config",
        "--add-history",
        "--user",
        "u",
        "--port",
        "1",
        "--port",
        "2",
        "--env",
        "A=1",
        "--env",
        "B=2",
        "work",
      ],
      [
        "config",
        "--add-history",
        "--entrypoint",
        '["e"]',
        "--cmd",
        "c d",
        "--volume",
        "/k",
        "--label",
        "z=y",
        "work",
      ],
      ["config", "--add-history", "--workingdir", "/p", "--stop-signal", "TERM", "--label", "z-", "work"],
    ],
  };

  let directory: string;
  beforeAll(() => {
    directory = bench.files({
      one: "1\n",
      "tree/two": "2\n",
      "tree/three": "3\n",
      "tree/deep/er/four": "4\n",
    });
    Bun.spawnSync(["ln", "-s", "../one", join(directory, "tree/link")]);
    Bun.spawnSync(["chmod", "751", join(directory, "tree/deep")]);
    Bun.spawnSync(["chown", "1000:1000", join(directory, "one")]);
    Bun.spawnSync(["tar", "-C", directory, "-cf", join(directory, "tree.tar"), "tree"]);
    Bun.spawnSync(["gzip", "-k", join(directory, "tree.tar")]);
  });

  for (const [title, script] of Object.entries(cases)) {
    test(`come to the same: ${title}`, async () => {
      const [ours, theirs] = await compare(script(directory));
      expect(ours).toEqual(theirs);
    }, 60_000);
  }

  test("come to the same in Docker's format", async () => {
    const flags = ["--shell", "/bin/ash -c", "--onbuild", "RUN x", "--hostname", "h", "--domainname", "d"];
    const health = ["--healthcheck", "CMD curl x", "--healthcheck-interval", "5s"];
    const [ours, theirs] = await compare(
      [
        ["from", "--name", "work", "--format", "docker", "davit-busybox"],
        ["config", ...flags, ...health, "--comment", "said", "--env", "A=1", "--label", "l=m", "work"],
        ["run", "--add-history", "work", "--", "touch", "/x"],
      ],
      "docker",
    );
    expect(ours).toEqual(theirs);
  }, 60_000);

  const mistakes: string[][] = [
    ["from"],
    ["from", "a", "b"],
    ["from", "--pull=never", "no-such-image"],
    ["config"],
    ["config", "nobody"],
    ["config", "a", "b"],
    ["config", "--cmd", 'open "quote', "keeper"],
    ["config", "--healthcheck-interval", "soon", "keeper"],
    ["config", "--env", "NOT_SET_ANYWHERE", "keeper"],
    ["run"],
    ["run", "keeper"],
    ["run", "nobody", "true"],
    ["copy", "keeper"],
    ["copy", "nobody", "x"],
    ["copy", "keeper", "/no/such/file", "/x"],
    ["copy", "--ignorefile", "x", "keeper", "/etc/passwd", "/x"],
    ["commit"],
    ["commit", "nobody", "x"],
    ["mount", "nobody"],
    ["umount"],
    ["umount", "nobody"],
    ["rm"],
    ["rm", "nobody"],
    ["rm", "--all", "x"],
    ["containers", "x"],
    ["containers", "--filter", "colour=red"],
    ["inspect"],
    ["inspect", "nobody"],
    ["inspect", "--type", "colour", "keeper"],
    ["rename", "keeper"],
    ["rename", "nobody", "x"],
    ["push"],
    ["push", "nobody"],
    ["from", "--authfile", "/nonexistent", "davit-busybox"],
    ["pull", "--authfile", "/nonexistent", "127.0.0.1:1/x"],
    ["commit", "--authfile", "/nonexistent", "keeper", "x"],
    ["run", "--terminal"],
  ];

  test("gives programs a terminal where there is none, when it is asked to", async () => {
    const results: unknown[] = [];
    for (const { run } of both) {
      await run(["from", "--name", "typed", "davit-busybox"]);
      // crun sometimes ends before it has shown the last words of a program that ends at once.
      const shown = await run(["run", "-t", "typed", "--", "sh", "-c", "tty; echo x >&2; sleep 1"]);
      const failed = await run(["run", "-t", "typed", "--", "sh", "-c", "exit 4"]);
      const plain = await run(["run", "--terminal=false", "typed", "--", "tty"]);
      await run(["rm", "typed"]);
      results.push([
        shown.code,
        shown.stdout.replace(/pts\/\d+/, "pts/N"),
        failed.code,
        plain.code,
        plain.stdout,
      ]);
    }
    expect(results[0]).toEqual(results[1]);
    expect(results[0]).toEqual([0, "/dev/pts/N\r\nx\r\n", 4, 1, "not a tty\n"]);
  }, 60_000);

  test("adds images to lists", async () => {
    const lists: unknown[] = [];
    for (const { name, run, out } of both) {
      await run(["from", "--name", "member", "scratch"]);
      await run(["commit", "-q", "--manifest", "members", "member", "alone:1"]);
      await run(["config", "--arch", "arm64", "member"]);
      const last = await run(["commit", "-q", "--rm", "--manifest", "members", "member"]);
      expect(last).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/) });
      lists.push(name === "buildah" ? await inspected(run) : await copied(join(out, "members")));
    }
    expect(lists[0]).toEqual(lists[1]);
    expect(lists[0]).toEqual(["linux/amd64", "linux/arm64"]);
  }, 60_000);

  interface ImageList {
    readonly manifests: readonly {
      readonly platform: { readonly os: string; readonly architecture: string };
    }[];
  }

  const platformsOf = ({ manifests }: ImageList) =>
    manifests.map(({ platform }) => `${platform.os}/${platform.architecture}`);

  async function inspected(run: Run): Promise<string[]> {
    return platformsOf(JSON.parse((await run(["manifest", "inspect", "members"])).stdout));
  }

  /** davit's lists go where images go. */
  async function copied(directory: string): Promise<string[]> {
    await bench.davit.output(["image", "copy", "--all", "members", `oci:${directory}`]);
    const [root] = JSON.parse(readFileSync(join(directory, "index.json"), "utf8")).manifests;
    const path = join(directory, "blobs", "sha256", root.digest.slice("sha256:".length));
    return platformsOf(JSON.parse(readFileSync(path, "utf8")));
  }

  test("says the same of mistakes, and ends with the same status", async () => {
    await bench.run(["from", "--name", "keeper", "davit-busybox"]);
    for (const words of mistakes) {
      const [ours, theirs] = await Promise.all(both.map(({ run }) => run(words)));
      expect({ words, code: ours?.code, stderr: ours?.stderr }).toEqual({
        words,
        code: theirs?.code,
        stderr: theirs?.stderr,
      });
    }
  }, 60_000);
});

/** What Buildah's runtime makes to mount on it, and leaves. */
const stubs = new Set([
  "etc/hosts",
  "etc/resolv.conf",
  "etc/hostname",
  "run",
  "run/.containerenv",
  "dev",
  "proc",
  "sys",
]);

function listTree(root: string): string[] {
  const lines: string[] = [];
  // Hundreds of names of the same program.
  const digests = new Map<number, string>();
  const digestOf = (inode: number, path: string): string => {
    const digest =
      digests.get(inode) ?? createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 12);
    digests.set(inode, digest);
    return digest;
  };
  const walk = (path: string) => {
    for (const name of readdirSync(join(root, path)).sort()) {
      const inside = path === "" ? name : `${path}/${name}`;
      if (stubs.has(inside)) continue;
      const status = lstatSync(join(root, inside));
      const what = status.isSymbolicLink()
        ? readlinkSync(join(root, inside))
        : status.isFile()
          ? digestOf(status.ino, join(root, inside))
          : "";
      const links = status.isDirectory() ? "" : status.nlink;
      lines.push(`${inside} ${status.mode.toString(8)} ${status.uid}:${status.gid} ${links} ${what}`);
      if (status.isDirectory()) walk(inside);
    }
  };
  walk("");
  return lines;
}

interface Config {
  created?: string;
  container?: string;
  config: { Labels?: Record<string, string> | null };
  container_config?: { Labels?: Record<string, string> | null };
  history?: { created?: string; created_by?: string; comment?: string }[];
  rootfs: { diff_ids: string[] };
}

/** Without what differs from one moment, or one machine, to the next. */
function comparable(config: Config): unknown {
  const { created, container, rootfs, history = [], ...rest } = config;
  for (const part of [rest.config, rest.container_config]) {
    if (part?.Labels) delete part.Labels["io.buildah.version"];
    if (part && Object.keys(part.Labels ?? {}).length === 0) delete part.Labels;
  }
  return {
    ...rest,
    layers: rootfs.diff_ids.length,
    // Buildah 1.28 adds one for no variables at all.
    history: history
      .filter(({ created_by }) => created_by !== "/bin/sh -c #(nop) ENV ")
      .map(({ created: _, created_by = "", comment, ...line }) => ({
        ...line,
        created_by: created_by.replace(/\b(file|dir|multi):[0-9a-f]{64}/, "$1:DIGEST"),
        ...(comment === undefined ? {} : { comment: withoutRegistry(comment) }),
      })),
  };
}

function withoutRegistry(text: string): string {
  return text.replace("localhost/", "").replace("docker.io/library/", "");
}

function ociImage(layout: string) {
  const read = (digest: string) =>
    JSON.parse(readFileSync(join(layout, "blobs", digest.replace(":", "/")), "utf8"));
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"));
  const manifest = read(index.manifests[0].digest);
  const annotations = { ...manifest.annotations };
  // Of a container from scratch Buildah writes empty ones.
  if (annotations["org.opencontainers.image.base.name"]) {
    annotations["org.opencontainers.image.base.name"] = withoutRegistry(
      annotations["org.opencontainers.image.base.name"],
    );
    annotations["org.opencontainers.image.base.digest"] = "";
  } else {
    delete annotations["org.opencontainers.image.base.name"];
    delete annotations["org.opencontainers.image.base.digest"];
  }
  const types = [
    manifest.config.mediaType,
    ...manifest.layers.map((layer: { mediaType: string }) => layer.mediaType),
  ];
  return {
    config: comparable(read(manifest.config.digest)),
    annotations,
    types: types.map((type: string) => type.replace("+gzip", "")),
  };
}

function dockerImage(archive: string) {
  const read = (name: string) => JSON.parse(Bun.spawnSync(["tar", "-xOf", archive, name]).stdout.toString());
  const [image] = read("manifest.json");
  return { config: comparable(read(image.Config)), layers: image.Layers.length };
}
