/** From a Dockerfile to a plan: stages, what they need, and their steps with everything expanded. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are lines of Dockerfiles
import { describe, expect, test } from "bun:test";
import type { AnalyseOptions } from "../../src/build/dockerfile/stages/analyse.ts";
import type { BuildPlan, FilesStep, RunStep, Step } from "../../src/build/dockerfile/stages/model.ts";
import { amd64, analysed, plainImage, planned } from "./support.ts";

function file(...lines: string[]): string {
  return lines.join("\n");
}

function names(plan: BuildPlan): string[] {
  return plan.stages.map(({ name }) => name);
}

function runOf(step: Step | undefined): RunStep {
  if (step?.kind !== "run") throw new Error(`a step of kind ${step?.kind}`);
  return step;
}

function filesOf(step: Step | undefined): FilesStep {
  if (step?.kind !== "files") throw new Error(`a step of kind ${step?.kind}`);
  return step;
}

async function errorOf(text: string, options: Partial<AnalyseOptions> = {}) {
  const analysis = await analysed(text, options);
  if (!("error" in analysis)) throw new Error("there is no error");
  return analysis.error;
}

describe("Stages", () => {
  test("that the target does not need are left out, and their images not looked up", async () => {
    const text = file("FROM a AS one", "FROM b AS two", "FROM c AS three", "COPY --from=one /x /x");
    const analysis = await analysed(text);
    if ("error" in analysis) throw analysis.error;
    expect(names(analysis.plan)).toEqual(["one", "three"]);
    expect(analysis.images).toEqual(["docker.io/library/a:latest", "docker.io/library/c:latest"]);
    expect(names(await planned(text, { target: "TWO" }))).toEqual(["two"]);
  });

  test("depend on what they are built on, copy from and mount", async () => {
    const { target } = await planned(
      file(
        "FROM scratch AS a",
        "FROM scratch AS b",
        "FROM scratch AS c",
        "FROM a",
        "COPY --from=1 / /b",
        "RUN --mount=from=c,target=/c true",
      ),
    );
    expect(target.name).toBe("stage-3");
    expect(target.dependencies.map(({ name }) => name)).toEqual(["a", "b", "c"]);
    expect(filesOf(target.steps[0]).from).toMatchObject({ kind: "stage", stage: { name: "b" } });
    expect(runOf(target.steps[1]).mounts[0]?.files).toMatchObject({ kind: "stage", stage: { name: "c" } });
  });

  test("may copy from images, which are looked up too", async () => {
    const { target } = await planned(
      file("FROM scratch", `COPY --from=ghcr.io/x/y@sha256:${"0".repeat(64)} /a /b`),
    );
    expect(filesOf(target.steps[0]).from).toMatchObject({
      kind: "image",
      image: { reference: `ghcr.io/x/y@sha256:${"0".repeat(64)}` },
    });
  });

  test("may be replaced by a context of their name", async () => {
    const text = file("FROM a AS one", "RUN x", "FROM base", "COPY --from=one / /");
    const { target } = await planned(text, { contexts: new Set(["one", "base"]) });
    expect(target.base).toEqual({ kind: "context", name: "base" });
    expect(filesOf(target.steps[0]).from).toMatchObject({
      kind: "stage",
      stage: { steps: [], base: { kind: "context" } },
    });
  });

  test("in a circle are refused with the places", async () => {
    const error = await errorOf(
      file("FROM scratch AS a", "COPY --from=b / /", "FROM scratch AS b", "COPY --from=a / /"),
    );
    expect(error.message).toBe("circular dependency detected on stage: a");
    expect([error.lines.start.line, error.lines.end.line]).toEqual([2, 4]);
  });

  test.each([
    [
      ["FROM scratch AS builder"],
      { target: "bulder" },
      'target stage "bulder" could not be found (did you mean builder?)',
    ],
    [["FROM scratch", "COPY --from=3 a b"], {}, "invalid stage index 3"],
    [
      ["FROM scratch AS a", "COPY --from=b / /", "FROM scratch AS b"],
      { target: "a" },
      'cannot copy from stage "b", it needs to be defined before current stage "a"',
    ],
    [
      ["FROM scratch", "COPY --from=$X a b"],
      {},
      "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
    ],
    [
      ["FROM Upper/Case"],
      {},
      'failed to parse stage name "Upper/Case": invalid reference format: repository name (Case) must be lowercase',
    ],
    [["ARG X", "FROM $X"], {}, "base name ($X) should not be blank"],
    [
      ["FROM --platform=$TARGETPLATFROM a"],
      {},
      "empty platform value from expression $TARGETPLATFROM (did you mean TARGETPLATFORM?)",
    ],
  ] satisfies [string[], Partial<AnalyseOptions>, string][])(
    "%p: the fault is named",
    async (lines, options, message) => {
      expect((await errorOf(file(...lines), options)).message).toBe(message);
    },
  );

  test("that no one finds are named with what was meant", async () => {
    const failing = { resolveImage: () => Promise.reject(new Error("not found")) };
    const error = await errorOf(file("FROM scratch AS base", "FROM bsae"), failing);
    expect(error.message).toBe("bsae: not found (did you mean base?)");
    expect(error.lines.start.line).toBe(2);
  });
});

describe("Arguments", () => {
  test("before the first FROM are for FROM, and for stages that declare them", async () => {
    const { target } = await planned(
      file("ARG NAME=busybox TAG=1", "FROM $NAME:${TAG}", "ARG TAG", "RUN a", "ARG NAME=own", "RUN b"),
      { buildArguments: { TAG: "2" } },
    );
    expect(target.base).toMatchObject({ kind: "image", name: "busybox:2" });
    expect(runOf(target.steps[1]).environment.get("TAG")).toBe("2");
    expect(runOf(target.steps[1]).environment.get("NAME")).toBeUndefined();
    expect(runOf(target.steps[3]).environment.get("NAME")).toBe("own");
    expect(target.steps[3]?.createdBy).toBe("RUN |2 TAG=2 NAME=own /bin/sh -c b # buildkit");
  });

  test("of the platform are predefined, and given ones come before them", async () => {
    const { target } = await planned(
      file("FROM scratch", "ARG TARGETPLATFORM TARGETARCH BUILDPLATFORM TARGETSTAGE", "RUN x"),
      {
        platform: { os: "linux", architecture: "arm64", variant: "v8" },
        buildPlatform: amd64,
        buildArguments: { TARGETARCH: "mine" },
      },
    );
    const { environment } = runOf(target.steps[1]);
    expect(environment.get("TARGETPLATFORM")).toBe("linux/arm64/v8");
    expect(environment.get("BUILDPLATFORM")).toBe("linux/amd64");
    expect(environment.get("TARGETARCH")).toBe("mine");
    expect(environment.get("TARGETSTAGE")).toBe("default");
  });

  test("come before ENV or behind it, whichever is later in the file", async () => {
    const { target } = await planned(
      file("FROM scratch", "ENV X=env", "ARG X=arg", "RUN a", "ENV X=again", "RUN b"),
    );
    expect(runOf(target.steps[2]).environment.get("X")).toBe("arg");
    expect(runOf(target.steps[4]).environment.get("X")).toBe("again");
    expect(target.image.config.Env).toContain("X=again");
  });

  test("that nothing declares are told, but for those that are always allowed", async () => {
    const plan = await planned(file("FROM scratch", "ARG USED"), {
      buildArguments: { USED: "1", UNUSED: "2", HTTP_PROXY: "http://p", TARGETOS: "linux" },
    });
    expect(plan.unusedArguments).toEqual(["UNUSED"]);
    expect(plan.proxy).toEqual({ HTTP_PROXY: "http://p" });
  });
});

describe("Steps", () => {
  test("see the variables as they are when they begin", async () => {
    const { target } = await planned(
      file("FROM a", "ENV X=1 Y=$X", "ENV X=2 Y=$X", "RUN r"),
      {},
      { "docker.io/library/a:latest": { ...plainImage("a"), config: { Env: ["X=0", "PATH=/p"] } } },
    );
    expect(target.image.config.Env).toEqual(["X=2", "PATH=/p", "Y=1"]);
    expect(runOf(target.steps[2]).environment.list()).toEqual(["X=2", "PATH=/p", "Y=1"]);
    expect(target.steps[1]?.environment.get("X")).toBe("1");
  });

  test("of RUN have the whole command, mounts and titles", async () => {
    const { target } = await planned(
      file(
        "FROM scratch",
        'SHELL ["/bin/ash", "-ec"]',
        "ENV DIR=cache",
        "WORKDIR /w",
        "USER 7",
        "RUN --mount=type=cache,target=$DIR --mount=type=secret,id=tok,env=TOK --mount=type=tmpfs,target=/t,size=1k --mount=src=/s,dst=/c make $DIR $TOK $NONE",
      ),
    );
    const run = runOf(target.steps.at(-1));
    expect(run.arguments).toEqual(["/bin/ash", "-ec", "make $DIR $TOK $NONE"]);
    expect(run.title).toEndWith("make cache **** $NONE");
    expect(run).toMatchObject({ workingDirectory: "/w", user: "7", network: "default", security: "sandbox" });
    expect(
      run.mounts.map(({ type, path, id, readOnly, size, files }) => [
        type,
        path,
        id,
        readOnly,
        size,
        files.kind,
      ]),
    ).toEqual([
      ["cache", "/w/cache", "cache", false, 0, "scratch"],
      ["secret", undefined, "tok", true, 0, "scratch"],
      ["tmpfs", "/t", "", false, 1024, "scratch"],
      ["bind", "/c", "", true, 0, "main-context"],
    ]);
  });

  test("of RUN with a heredoc run its text, or the program that its first line names", async () => {
    const { target } = await planned(
      file(
        "FROM scratch",
        "RUN <<EOF",
        "a",
        "b",
        "EOF",
        "RUN <<EOF",
        "#!/bin/sh",
        "c",
        "EOF",
        "RUN cat <<EOF",
        "d",
        "EOF",
      ),
    );
    const [plain, script, inner] = target.steps.map(runOf);
    expect(plain?.arguments).toEqual(["/bin/sh", "-c", "a\nb\n"]);
    expect(script?.arguments).toEqual(["/bin/sh", "-c", "/dev/pipes/EOF"]);
    expect(script?.script).toEqual({ path: "/dev/pipes/EOF", content: "#!/bin/sh\nc\n" });
    expect(inner?.arguments).toEqual(["/bin/sh", "-c", "cat <<EOF\nd\nEOF"]);
  });

  test("of COPY have absolute paths, and content with variables expanded", async () => {
    const { target } = await planned(
      file(
        "FROM scratch",
        "WORKDIR /w",
        "ENV V=1",
        "COPY --chmod=64$V a b/",
        "COPY --parents x/./y/*.c .",
        "COPY <<A <<'B' /f/",
        "$V",
        "A",
        "$V",
        "B",
      ),
    );
    const [first, second, third] = target.steps.filter(({ kind }) => kind === "files").map(filesOf);
    expect(first).toMatchObject({
      destination: "/w/b/",
      chmod: "641",
      sources: [{ kind: "path", path: "/a" }],
    });
    expect(second).toMatchObject({
      destination: "/w/",
      sources: [{ path: "/x", pattern: "y/*.c", required: undefined }],
    });
    expect(third?.sources).toEqual([
      { kind: "inline", name: "A", content: "1\n" },
      { kind: "inline", name: "B", content: "$V\n" },
    ]);
  });

  test("of ADD tell files, URLs and repositories apart", async () => {
    const { target } = await planned(
      file(
        "FROM scratch",
        "ADD a.tar http://h/p/f%20g?q https://h/r.git?branch=main&subdir=s git@h:o/r#v1:d github.com/x/y /d/",
      ),
    );
    expect(filesOf(target.steps[0]).sources).toMatchObject([
      { kind: "path", path: "/a.tar", unpack: true },
      { kind: "url", fileName: "f g", unpack: false },
      { kind: "git", remote: "https://h/r.git", ref: "refs/heads/main", subdirectory: "s", submodules: true },
      { kind: "git", remote: "git@h:o/r", ref: "v1", subdirectory: "d" },
      { kind: "path", path: "/github.com/x/y" },
    ]);
  });

  test("leave the config and history that BuildKit leaves", async () => {
    const { target } = await planned(
      file(
        "FROM scratch",
        "EXPOSE 81-82/UDP 80",
        "VOLUME /v",
        'CMD ["a b"]',
        "ENTRYPOINT e",
        "HEALTHCHECK --interval=90s CMD x",
        "STOPSIGNAL SIGINT",
        "LABEL a=b",
      ),
    );
    expect(target.image.config).toMatchObject({
      ExposedPorts: { "80/tcp": {}, "81/udp": {}, "82/udp": {} },
      Volumes: { "/v": {} },
      Cmd: ["a b"],
      Entrypoint: ["/bin/sh", "-c", "e"],
      Healthcheck: { Test: ["CMD-SHELL", "x"], Interval: 90e9 },
      StopSignal: "SIGINT",
      Labels: { a: "b" },
    });
    expect(target.image.history.map(({ created_by: line }) => line)).toEqual([
      "EXPOSE [80/tcp 81/udp 82/udp]",
      "VOLUME [/v]",
      'CMD ["a b"]',
      'ENTRYPOINT ["/bin/sh" "-c" "e"]',
      "HEALTHCHECK {Test:[CMD-SHELL x] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
      "STOPSIGNAL SIGINT",
      "LABEL a=b",
    ]);
  });
});

describe("ONBUILD", () => {
  test("of a base image comes before the file's own steps, and brings its own needs", async () => {
    const base = {
      ...plainImage("a"),
      config: { OnBuild: ["COPY --from=other /x /x", "ENV A=$B"], Env: ["B=b"] },
    };
    const analysis = await analysed(file("FROM a", "RUN x"), {}, { "docker.io/library/a:latest": base });
    if ("error" in analysis) throw analysis.error;
    const { target } = analysis.plan;
    expect(target.steps.map(({ isTrigger, kind }) => [kind, isTrigger])).toEqual([
      ["files", true],
      ["config", true],
      ["run", false],
    ]);
    expect(analysis.images).toEqual(["docker.io/library/a:latest", "docker.io/library/other:latest"]);
    expect(target.image.config.Env).toContain("A=b");
    expect(target.image.config.OnBuild).toBeUndefined();
  });

  test("of a stage runs in the stage built on it, with its heredoc", async () => {
    const { target } = await planned(file("FROM scratch AS a", "ONBUILD RUN <<EOF", "x", "EOF", "FROM a"));
    expect(runOf(target.steps[0]).arguments).toEqual(["/bin/sh", "-c", "x\n"]);
  });

  test("of an image that makes no sense is refused at the FROM", async () => {
    const base = { ...plainImage("a"), config: { OnBuild: ["FOO x"] } };
    const analysis = await analysed("FROM a", {}, { "docker.io/library/a:latest": base });
    expect("error" in analysis && analysis.error.message).toContain("unknown instruction: FOO");
  });
});

test("A file with hundreds of stages, each on the one before, is analysed", async () => {
  const lines = ["FROM scratch AS s0"];
  for (let at = 1; at <= 300; at += 1) lines.push(`FROM s${at - 1} AS s${at}`, `ENV V${at}=$V${at - 1}x`);
  const { target } = await planned(lines.join("\n"));
  expect(target.image.config.Env).toHaveLength(301);
});
