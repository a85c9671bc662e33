/**
 * Dockerfiles built with Docker's own BuildKit: files, config and history have to be the same. For machines where
 * current BuildKit cannot be built: elsewhere `corpus-oracle.test.ts` says more.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Engine } from "../../src/engine/engine.ts";
import { type Dockerd, missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { buildBuildKit } from "./buildkit.ts";
import { type Files, openWorkshop, type Workshop } from "./workshop.ts";

const docker = "/usr/bin/docker";
const newer = "program" in buildBuildKit() ? "the whole corpus is compared with a newer one" : undefined;
const missing =
  newer ??
  missingForDockerd() ??
  ((await Bun.file(docker).exists()) ? undefined : `not installed: ${docker} (Debian: docker.io)`);
if (missing !== undefined) console.warn(`SKIPPED: comparison with Docker's BuildKit: ${missing}`);

const base = "FROM davit-busybox:latest\n";
const some: Files = {
  "a.txt": "a",
  "b.txt": "b",
  "dir/c.txt": "c",
  "dir/sub/d.txt": "d",
  "dir/sub/run.sh": { mode: 0o755, content: "#!/bin/sh\n" },
  "dir/link": { link: "c.txt" },
  "link.txt": { link: "a.txt" },
  linkdir: { link: "dir" },
  "empty/": "",
};

/** Dockerfiles by what they try. */
const cases: Record<string, string> = {
  "config only": `${base}ENV A=1 B="two words" C=\${A}3\nLABEL x=y "z w"=1\nEXPOSE 80 53/udp\nVOLUME /data /more\nUSER 1000:100\nSTOPSIGNAL SIGUSR1\nCMD echo hi\n`,
  "entrypoint resets cmd": `${base}CMD ["a"]\nENTRYPOINT ["b", "c"]\n`,
  healthcheck: `${base}HEALTHCHECK --interval=5s --timeout=3s --retries=2 CMD true\n`,
  "shell and onbuild": `${base}SHELL ["/bin/sh", "-ec"]\nONBUILD RUN echo later\nRUN echo x > /x\n`,
  "workdir chain": `${base}WORKDIR /a/b\nWORKDIR c\nRUN pwd > where\n`,
  "workdir with a user": `${base}RUN adduser -D -u 1234 joe || echo "joe:x:1234:1234::/home/joe:/bin/sh" >> /etc/passwd\nUSER joe\nWORKDIR /home/joe/work\n`,
  "copy one file": `${base}COPY a.txt /one\nCOPY a.txt /two/\nCOPY a.txt /three/four\n`,
  "copy a directory": `${base}COPY dir /new\nCOPY dir /new2/\nCOPY dir/ /new3\nCOPY dir/sub /etc\n`,
  "copy all": `${base}COPY . /all/\n`,
  "copy many": `${base}COPY a.txt b.txt dir /many/\n`,
  "copy wildcards": `${base}COPY *.txt /w/\nCOPY dir/*/ /x/\nCOPY d?r/c.tx[t] /y/\n`,
  "copy links": `${base}COPY link.txt /l1\nCOPY dir/link /l2\nCOPY linkdir /l3\nCOPY linkdir/c.txt /l4\n`,
  "copy with owner": `${base}COPY --chown=12:34 dir /owned\nCOPY --chown=7 a.txt /p/q/r\nCOPY --chown=root:root a.txt /s\n`,
  "copy onto what is there": `${base}RUN mkdir -p /t/sub && chmod 700 /t && chown 5:6 /t/sub && echo old > /t/c.txt\nCOPY dir /t\n`,
  "copy through links of the image": `${base}RUN mkdir /real && ln -s /real /alias && ln -s missing/place /dangling\nCOPY a.txt /alias/\nCOPY a.txt /alias/deep/er\n`,
  "copy to relative places": `${base}WORKDIR /w\nCOPY a.txt .\nCOPY a.txt b\nCOPY dir ./c\n`,
  "add unpacks": `${base}ADD stuff.tar /un\nADD a.txt /plain\nCOPY stuff.tar /kept/\n`,
  "copy between stages": `${base.trim()} AS one\nRUN mkdir /o && echo 1 > /o/f && chown 9:8 /o/f && chmod 600 /o/f && ln /o/f /o/hard\nFROM davit-busybox:latest\nCOPY --from=one /o /p\nCOPY --from=one /o/f /f\nCOPY --from=0 /o/f /g/\n`,
  "run removes and replaces": `${base}RUN mkdir /m && touch /m/a /m/b\nRUN rm /m/a && rm -rf /home && echo x > /etc/passwd\nRUN rm -rf /m && echo file > /m\n`,
  "run keeps nothing of its own": `${base}RUN true\nRUN ls /dev /proc > /dev/null\n`,
  scratch: `FROM scratch\nCOPY a.txt /a\nCMD ["/a"]\n`,
  arguments: `ARG TAG=latest\nFROM davit-busybox:$TAG\nARG WHO=me\nARG NONE\nENV WHO2=$WHO\nRUN echo $WHO > /who\n`,
};

describe.skipIf(missing !== undefined)("davit and Docker's BuildKit", () => {
  let workshop: Workshop;
  let dockerd: Dockerd;
  let theirs: Engine;
  beforeAll(async () => {
    [workshop, dockerd] = await Promise.all([openWorkshop(), startDockerd()]);
    theirs = await dockerd.engine();
  }, 120_000);
  afterAll(async () => {
    await theirs?.close();
    await dockerd?.[Symbol.asyncDispose]();
    await workshop?.[Symbol.asyncDispose]();
  });

  let number = 0;
  for (const [what, dockerfile] of Object.entries(cases)) {
    test(`make the same image of: ${what}`, async () => {
      number += 1;
      const name = `oracle-${number}:latest`;
      const context = workshop.context({ Dockerfile: dockerfile, ...some });
      Bun.spawnSync([
        "tar",
        "-cf",
        join(context, "stuff.tar"),
        "--owner=3",
        "--group=4",
        "-C",
        join(context, "dir"),
        ".",
      ]);
      await workshop.build(context, { names: [name] });
      const built = Bun.spawnSync([docker, "-H", dockerd.host, "build", "-q", "-t", name, context], {
        env: { ...process.env, DOCKER_BUILDKIT: "1" },
      });
      expect(built.stderr.toString()).toBe("");
      const [own, other] = [await filesOf(workshop.engine, name), await filesOf(theirs, name)];
      expect(own).toEqual(other);
      expect(await configOf(workshop.engine, name)).toEqual(await configOf(theirs, name));
      expect(await historyOf(workshop.engine, name)).toEqual(await historyOf(theirs, name));
    }, 60_000);
  }
});

/** What each layer holds, without times: those are davit's own business. */
async function filesOf(engine: Engine, name: string): Promise<string[][]> {
  const archive = Buffer.concat(await Array.fromAsync(engine.images.save([name])));
  const read = (member: string) =>
    Bun.spawnSync(["tar", "-xO", member], { stdin: archive, maxBuffer: 64 << 20 }).stdout;
  const [item] = JSON.parse(read("manifest.json").toString());
  const layers: string[] = item.Layers;
  return layers.slice(1).map((layer) => {
    const listed = Bun.spawnSync(["tar", "-tv", "--numeric-owner", "--full-time"], { stdin: read(layer) });
    return (
      listed.stdout
        .toString()
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.replace(/\s+/g, " ").replace(/ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?/, ""))
        // Whiteouts have no mode that means anything; a directory that was only looked into is in some of theirs.
        .map((line) => (line.includes(".wh.") ? line.replace(/^\S+/, "") : line))
        .filter((line) => !/ (?:etc|root)\/$/.test(line))
        .sort()
    );
  });
}

async function configOf(engine: Engine, name: string) {
  const { Config, Architecture, Os } = await engine.images.inspect(name);
  const settings = Object.entries(Config ?? {}).filter(([key, value]) => {
    const isEmpty =
      value === null ||
      value === "" ||
      value === false ||
      (typeof value === "object" && Object.keys(value ?? {}).length === 0);
    return !isEmpty && !["Hostname", "Image", "ArgsEscaped"].includes(key);
  });
  return { config: Object.fromEntries(settings), Architecture, Os };
}

async function historyOf(engine: Engine, name: string) {
  const history = await engine.images.history(name);
  // Newer BuildKits word these in another way than Debian's.
  const isReworded = (line: string) => /^(?:EXPOSE|HEALTHCHECK|(?:COPY|ADD) --)/.test(line);
  return history.map(({ CreatedBy, Comment }) => [
    isReworded(CreatedBy)
      ? CreatedBy.replace(/ .*?(?:\S+ \S+ # buildkit)?$/, "")
      : CreatedBy.replace(/^(?:COPY|ADD) .*/, (line) => line.split(" ")[0] ?? ""),
    Comment,
  ]);
}
