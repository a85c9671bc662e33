/**
 * The examples, as a newcomer runs them: built of Debian's packages, started, asked. Skipped where no base image can
 * be made, as no mirror is reached.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type DavitInstance, davitBinary, newInstance } from "../harness/instance.ts";

const minutes = 60_000;
const repository = join(import.meta.dir, "..", "..");
const missing = missingForExamples();
if (missing !== undefined) console.error(`SKIPPED: test/examples: ${missing}`);

/** Why the base image cannot be made; undefined when it can. */
function missingForExamples(): string | undefined {
  const { exitCode, stderr } = Bun.spawnSync(["sh", join(repository, "examples", "base.sh"), "--check"]);
  return exitCode === 0 ? undefined : stderr.toString().trim();
}

describe.skipIf(missing !== undefined)("the example", () => {
  let davit: DavitInstance;
  beforeAll(async () => {
    davit = await newInstance({ busybox: false });
    // The base image is made, where no other run has left it.
    await example("nginx");
  }, 5 * minutes);
  afterAll(async () => {
    await davit?.[Symbol.asyncDispose]();
  }, minutes);

  /** @returns what `examples/run.sh NAME` prints; it must succeed, and take its containers and volumes away. */
  async function example(name: string): Promise<string> {
    const child = Bun.spawn(["sh", join(repository, "examples", "run.sh"), name], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...davit.env, DAVIT: davitBinary },
    });
    const [code, stdout, stderr] = await Promise.all([
      child.exited,
      child.stdout.text(),
      child.stderr.text(),
    ]);
    if (code !== 0) throw new Error(`examples/run.sh ${name}: exit code ${code}\n${stdout}\n${stderr}`);
    expect(await davit.output(["ps", "--all", "--quiet"])).toBe("");
    expect(await davit.output(["volume", "ls", "--quiet"])).toBe("");
    return stdout;
  }

  const configOf = async (image: string): Promise<unknown> =>
    JSON.parse(await davit.output(["image", "inspect", "--format", "{{json .Config}}", image]));

  /** An example is a test; its build is cold and may wait for packages. */
  const check = (title: string, run: () => Promise<void>): void => {
    test(title, run, 5 * minutes);
  };

  check("nginx serves its pages with no place to write; built again, nothing runs", async () => {
    const said = await example("nginx");
    expect(said).toContain("<p>A page of a static site, served by nginx in a container.</p>");
    expect(said).toContain("Cache-Control: max-age=2592000");
    expect(said).toContain("<h1>Lost at sea</h1>");
    expect(said).toMatch(/"GET \/nowhere HTTP\/1.1" 404/);
    expect(await configOf("example-nginx")).toMatchObject({
      User: "www-data",
      ExposedPorts: { "8080/tcp": {} },
      StopSignal: "SIGQUIT",
      Entrypoint: ["nginx"],
      Cmd: ["-g", "daemon off;"],
    });
    // No file that its .dockerignore leaves out is in the image, and none of apt's.
    const listed = await davit.output(
      "run --rm --network=none --user=root --entrypoint=find example-nginx"
        .concat(" /srv /var/cache/apt /var/lib/apt -type f -size +0")
        .split(" "),
    );
    expect(listed.split("\n").sort()).toEqual([
      "/srv/site/404.html",
      "/srv/site/assets/style.css",
      "/srv/site/index.html",
    ]);
    const context = join(repository, "examples/nginx");
    const again = await davit.run(["build", "--progress=plain", "-t", "again", context]);
    expect(again.code).toBe(0);
    expect(again.stderr.match(/^#\d+ CACHED$/gm)).toHaveLength(6);
    const ids = await davit.output(["images", "--quiet", "--no-trunc", "--filter", "reference=again"]);
    expect(ids).toBe(await davit.output(["image", "inspect", "--format", "{{.Id}}", "example-nginx"]));
  });

  check("node is tested in a stage of its own, serves its tasks, and ends when it is told to", async () => {
    const said = await example("node");
    expect(said).toContain('[{"id":1,"title":"read the Dockerfile","done":true}]');
    expect(said).toContain("SIGTERM: closing");
    expect(await configOf("example-node")).toMatchObject({
      User: "app",
      WorkingDir: "/app",
      ExposedPorts: { "3000/tcp": {} },
      Healthcheck: { Interval: 10e9, Timeout: 3e9, StartPeriod: 5e9 },
    });
  });

  check(
    "calculator gives the same answers from two images, of which that on scratch is far smaller",
    async () => {
      const said = await example("calculator");
      expect(said).toContain("6 * 7 = 42");
      expect(said.match(/^2 \* \(3 \+ 4\) - 1 = 13$/gm)).toHaveLength(2);
      expect(said).toContain("10 / 4 = 2.5");
      expect(said).toContain("exit code 1");
      expect(said).toMatch(/^example-calculator:latest {2}\d\.\d+MB$/m);
      expect(said).toMatch(/^example-calculator:onestage {2}\d{3}MB$/m);
      const layers = await davit.output([
        "image",
        "inspect",
        "--format",
        "{{len .RootFS.Layers}}",
        "example-calculator",
      ]);
      expect(layers).toBe("1");
    },
  );

  check("django keeps its guests in a volume, past the container", async () => {
    const said = await example("django");
    expect(said).toContain("Nobody has been here yet.");
    expect(said.match(/<b>Ada<\/b>: Built &amp; run by davit/g)).toHaveLength(2);
    expect(said).toContain("[X] 0001_initial");
    expect(await configOf("example-django")).toMatchObject({
      User: "app",
      Volumes: { "/data": {} },
      Labels: { "org.opencontainers.image.version": "1.0" },
      Healthcheck: { Test: ["CMD-SHELL", expect.stringContaining("urlopen")] },
    });
    const key = await davit.run([
      "run",
      "--rm",
      "--network=none",
      "--entrypoint=ls",
      "example-django",
      "-A",
      "/data",
    ]);
    expect(key.stdout).toBe("");
  });

  check("mariadb: the application waits for the database, whose rows outlive both", async () => {
    const said = await example("mariadb");
    expect(said).toMatch(/waiting for the database at 127\.0\.0\.1\nthe database is there\n/);
    const [, anew = ""] = said.split("# Start anew on the same volume");
    expect(anew).toContain("1. Ada Lovelace\n2. Grace Hopper\n");
    expect(await configOf("example-db")).toMatchObject({
      User: "mysql",
      Volumes: { "/var/lib/mysql": {} },
      Healthcheck: { Interval: 5e9, Timeout: 3e9, StartPeriod: 30e9 },
    });
  });
});
