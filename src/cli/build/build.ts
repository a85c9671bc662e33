/** `build`, also `bud`: an image from a Dockerfile. */

import { DavitError, messageOf } from "../../core/errors.ts";
import { resolve } from "../../core/paths.ts";
import { type BuildRequest, type BuildResult, type BuildWarning, buildsOf } from "../../engine/build.ts";
import { writeFileSync } from "../../linux/files.ts";
import { authOfRegistry } from "../account/credentials.ts";
import { type Command, CommandError, exactly, type Invocation } from "../command.ts";
import type { FlagSet } from "../flags/flag-set.ts";
import { BadValue, parseBytes } from "../flags/values.ts";
import type { Io } from "../io.ts";
import { parseUlimit } from "../options/devices.ts";
import { labels, splitPair } from "../options/key-values.ts";
import { parseExtraHost } from "../options/policies.ts";
import { trustFlag } from "../options/trust.ts";
import { readAttestations } from "./attestations.ts";
import { readCacheSource, readCacheTarget } from "./caches.ts";
import { namedContexts, readInputs, readSecret, readSsh } from "./inputs.ts";
import { readOutputs } from "./outputs.ts";
import { openDisplay, type ProgressMode, progressModes } from "./progress/display.ts";
import { SummaryOfBuild } from "./progress/explanation.ts";
import { SummaryOfFailure } from "./progress/failure.ts";
import { formatBriefly, formatReport } from "./warnings.ts";

export const build: Command = {
  synopsis: "[OPTIONS] PATH | URL | -",
  summary: "Start a build",
  description: "Build an image from a Dockerfile",
  count: exactly(1),
  examples: [
    "build -t app .",
    "build -f docker/Dockerfile --target test .",
    "build -o type=local,dest=out .",
  ],
  define(flags) {
    const options = declare(flags);
    return async (invocation) => await run(invocation, options);
  },
};

type Options = ReturnType<typeof declare>;

function declare(flags: FlagSet) {
  const foreign = ["builder", "policy"];
  const limits = [
    "cpu-period",
    "cpu-quota",
    "cpuset-cpus",
    "cpuset-mems",
    "memory-swap",
    "isolation",
    "security-opt",
  ];
  for (const name of [...foreign, ...limits]) flags.string(name, "As docker's", { unsupported: true });
  flags.string("memory", "As docker's", { short: "m", unsupported: true });
  flags.string("cpu-shares", "As docker's", { short: "c", unsupported: true });
  flags.bool("squash", "As docker's", { unsupported: true });
  // True of every build: no context travels, and no container of a step is left.
  for (const name of ["compress", "force-rm"]) flags.bool(name, "Accepted for scripts", { hidden: true });
  trustFlag(flags, "Skip image verification");
  return {
    addHost: flags.list("add-host", 'Add a custom host-to-IP mapping (format: "host:ip")', {
      parse: parseExtraHost,
    }),
    allow: flags.list(
      "allow",
      'Allow extra privileged entitlement (e.g., "network.host", "security.insecure", "device")',
    ),
    annotation: flags.list("annotation", "Add annotation to the image"),
    attest: flags.list("attest", 'Attestation parameters (format: "type=sbom,generator=image")'),
    buildArg: flags.list("build-arg", "Set build-time variables"),
    buildContext: flags.list("build-context", 'Additional build contexts (e.g., "name=path")'),
    cacheFrom: flags.list(
      "cache-from",
      'External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")',
    ),
    cacheTo: flags.list(
      "cache-to",
      'Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")',
    ),
    call: flags.string("call", 'Set method for evaluating build ("check", "build")', { initial: "build" }),
    cgroupParent: flags.string(
      "cgroup-parent",
      'Set the parent cgroup for the "RUN" instructions during build',
    ),
    check: flags.bool("check", 'Shorthand for "--call=check"'),
    explain: flags.bool("explain", "Say what broke the cache, and what took the time"),
    file: flags.string("file", 'Name of the Dockerfile (default: "PATH/Dockerfile")', { short: "f" }),
    iidfile: flags.string("iidfile", "Write the image ID to a file"),
    label: flags.list("label", "Set metadata for an image"),
    load: flags.bool("load", "Put the image into the local store, which is done anyway"),
    metadataFile: flags.string("metadata-file", "Write build result metadata to a file"),
    network: flags.string("network", 'Set the networking mode for the "RUN" instructions during build', {
      initial: "default",
    }),
    noCache: flags.bool("no-cache", "Do not use cache when building the image"),
    noCacheFilter: flags.list("no-cache-filter", "Do not cache specified stages"),
    output: flags.list("output", 'Output destination (format: "type=local,dest=path")', { short: "o" }),
    platform: flags.list("platform", "Set target platform for build"),
    progress: flags.value<ProgressMode>(
      "progress",
      "Set type of progress output (auto, plain, tty, quiet, rawjson)",
      {
        initial: "auto",
        kind: "string",
        shownDefault: '"auto"',
        parse: parseMode,
      },
    ),
    provenance: flags.string("provenance", 'Shorthand for "--attest=type=provenance"'),
    pull: flags.bool("pull", "Always attempt to pull all referenced images"),
    push: flags.bool("push", 'Shorthand for "--output=type=registry"'),
    quiet: flags.bool("quiet", "Suppress the build output and print image ID on success", { short: "q" }),
    rm: flags.bool("rm", "Remove intermediate containers, which is done anyway", {
      initial: true,
      hidden: true,
    }),
    sbom: flags.string("sbom", 'Shorthand for "--attest=type=sbom"'),
    secret: flags.list("secret", 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")'),
    shmSize: flags.value("shm-size", "Shared memory size for build containers", {
      initial: 0,
      kind: "bytes",
      parse: parseBytes,
    }),
    ssh: flags.list(
      "ssh",
      'SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")',
    ),
    tag: flags.list("tag", 'Name and optionally a tag (format: "name:tag")', { short: "t" }),
    target: flags.string("target", "Set the target build stage to build"),
    ulimit: flags.each("ulimit", "Ulimit options", { kind: "ulimit", parse: parseUlimit }),
    verify: flags.bool("verify", "Build twice, the second time without the cache, and compare"),
  };
}

function parseMode(text: string): ProgressMode {
  const mode = progressModes.find((each) => each === text);
  if (mode === undefined) throw new BadValue(`invalid progress mode: ${text}`);
  return mode;
}

async function run(invocation: Invocation, options: Options): Promise<number> {
  const { io, args } = invocation;
  const isCheck = options.check.value || options.call.value.split(",")[0] === "check";
  if (!isCheck && options.call.value !== "build") {
    throw new CommandError(`ERROR: --call=${options.call.value} is not supported yet by davit`);
  }
  const outputs = readOutputs(io, options.output.value, { push: options.push.value });
  let isDone = false;
  try {
    const request = await requestOf(invocation, options, { place: args[0] ?? "", outputs, isCheck });
    const mode = options.quiet.value ? "quiet" : options.progress.value;
    const builds = buildsOf(await invocation.engine());
    const outcome = await follow(io, mode, builds, request);
    if (isCheck) {
      const findings = outcome.warnings.filter(({ rule }) => rule !== "");
      await io.stdout.write(formatReport(findings));
      return findings.length === 0 ? 0 : 1;
    }
    if (outcome.result !== undefined) await report(io, options, outcome.result, request);
    if (!options.quiet.value) await io.stderr.write(formatBriefly(outcome.warnings));
    if (options.verify.value) await verify(invocation, mode, request, outcome.result);
    isDone = true;
    return 0;
  } finally {
    outputs.finish(isDone);
  }
}

interface Parts {
  readonly place: string;
  readonly outputs: ReturnType<typeof readOutputs>;
  readonly isCheck: boolean;
}

async function requestOf(invocation: Invocation, options: Options, parts: Parts): Promise<BuildRequest> {
  const { io } = invocation;
  const { context, dockerfile } = await readInputs(io, parts.place, options.file.value);
  const network = options.network.value;
  if (!["default", "none", "host", "bridge", ""].includes(network)) {
    throw new CommandError(`ERROR: network mode ${JSON.stringify(network)} not supported by davit's builder`);
  }
  const platforms = options.platform.value.flatMap((text) => text.split(",")).filter((text) => text !== "");
  const byDefault = (io.env.DOCKER_DEFAULT_PLATFORM ?? "").split(",").filter((text) => text !== "");
  const epoch = io.env.SOURCE_DATE_EPOCH;
  const isAllowed = network === "host" ? ["network.host"] : [];
  const attestations = readAttestations({
    attest: options.attest.value,
    provenance: options.provenance.value,
    sbom: options.sbom.value,
  });
  return {
    context,
    dockerfile,
    ...(attestations === undefined ? {} : { attestations }),
    namedContexts: namedContexts(io, options.buildContext.value),
    names: [...options.tag.value, ...parts.outputs.names],
    buildArguments: buildArguments(io, options.buildArg.value),
    ...(options.target.value === "" ? {} : { target: options.target.value }),
    platforms: platforms.length > 0 ? platforms : byDefault,
    labels: labels(io, [], options.label.value),
    annotations: Object.fromEntries(options.annotation.value.map(annotation)),
    noCache: options.noCache.value,
    noCacheFilter: options.noCacheFilter.value.flatMap((text) => text.split(",")),
    pull: options.pull.value,
    secrets: options.secret.value.map((text) => readSecret(io, text)),
    ssh: options.ssh.value.map((text) => readSsh(io, text)),
    network: network === "none" || network === "host" ? network : "default",
    extraHosts: options.addHost.value,
    entitlements: [...options.allow.value.flatMap((text) => text.split(",")), ...isAllowed],
    ...(options.shmSize.value > 0 ? { shmSize: options.shmSize.value } : {}),
    ...(options.ulimit.value.length > 0 ? { ulimits: options.ulimit.value } : {}),
    ...(options.cgroupParent.value === "" ? {} : { cgroupParent: options.cgroupParent.value }),
    ...(epoch !== undefined && /^\d+$/.test(epoch) ? { sourceDateEpoch: Number(epoch) } : {}),
    outputs: parts.outputs.outputs,
    cacheFrom: options.cacheFrom.value.map((text) => readCacheSource(io, text)),
    cacheTo: options.cacheTo.value.map((text) => readCacheTarget(io, text)),
    explain: options.explain.value,
    check: parts.isCheck,
    credentials: async (registry) => (await authOfRegistry(invocation, registry)).auth,
  };
}

/** A name alone takes the value that it has here, if it has one. */
function buildArguments(io: Io, given: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const text of given) {
    if (text.includes("=")) {
      const [name, value] = splitPair(text);
      values[name] = value;
    } else if (io.env[text] !== undefined) values[text] = io.env[text] ?? "";
  }
  return values;
}

function annotation(text: string): [string, string] {
  const [name, value] = splitPair(text);
  const key = /^(?:manifest:)?(.*)$/.exec(name)?.[1] ?? name;
  if (/^(?:index|manifest-descriptor|index-descriptor)/.test(name)) {
    throw new CommandError(
      `ERROR: annotation ${JSON.stringify(name)}: only annotations of the manifest are supported`,
    );
  }
  return [key, value];
}

interface Outcome {
  readonly result: BuildResult | undefined;
  readonly warnings: readonly BuildWarning[];
}

async function follow(
  io: Io,
  mode: ProgressMode,
  builds: ReturnType<typeof buildsOf>,
  request: BuildRequest,
): Promise<Outcome> {
  const abort = new AbortController();
  const stopListening = io.onSignal(["SIGINT", "SIGTERM"], () =>
    abort.abort(new CommandError("ERROR: failed to build: context canceled", 130)),
  );
  const display = await openDisplay(mode, io.stderr);
  const failure = new SummaryOfFailure();
  const explanation = request.explain === true ? new SummaryOfBuild() : undefined;
  const warnings: BuildWarning[] = [];
  let result: BuildResult | undefined;
  try {
    for await (const event of builds.build(request, { signal: abort.signal })) {
      if (event.kind === "warning") warnings.push(event.warning);
      if (event.kind === "result") result = event.result;
      failure.take(event);
      explanation?.take(event);
      await display.show(event);
    }
    await display.finish();
    await io.stderr.write(explanation?.text() ?? "");
    return { result, warnings };
  } catch (error) {
    await display.finish();
    await io.stderr.write(explanation?.text() ?? "");
    if (abort.signal.aborted) throw abort.signal.reason;
    if (!(error instanceof DavitError)) throw error;
    throw new CommandError(`${failure.text()}ERROR: failed to build: failed to solve: ${messageOf(error)}`);
  } finally {
    stopListening();
  }
}

/** @throws CommandError naming the first path that differs */
async function verify(
  { io, engine }: Invocation,
  mode: ProgressMode,
  request: BuildRequest,
  first: BuildResult | undefined,
): Promise<void> {
  if (first === undefined) throw new CommandError("ERROR: --verify needs an image to compare");
  const opened = await engine();
  const again: BuildRequest = { ...request, names: [], noCache: true, outputs: [{ kind: "store" }] };
  const { result: second } = await follow(io, mode, buildsOf(opened), again);
  for (const [at, { imageId, platform }] of first.images.entries()) {
    const other = second?.images[at]?.imageId ?? imageId;
    if (other === imageId) {
      await io.stderr.write(`verified: built twice, ${imageId} (${platform}) both times\n`);
      continue;
    }
    const [difference] = await opened.images.diff(imageId, other);
    const where = difference === undefined ? "in its config or its layers' times" : `at ${difference.Path}`;
    throw new CommandError(
      `ERROR: not reproducible: the second build gave ${other} (${platform}), which differs ${where}`,
    );
  }
}

async function report(io: Io, options: Options, result: BuildResult, request: BuildRequest): Promise<void> {
  const { imageId, manifestDigest, names, images } = result;
  if (options.iidfile.value !== "") writeFileSync(resolve(io.cwd, options.iidfile.value), imageId);
  if (options.metadataFile.value !== "") {
    const metadata = {
      // Of an index no single config is meant.
      ...(images.length === 1 ? { "containerimage.config.digest": imageId } : {}),
      "containerimage.digest": manifestDigest,
      ...(names.length === 0 ? {} : { "image.name": (request.names ?? []).join(",") }),
    };
    writeFileSync(resolve(io.cwd, options.metadataFile.value), `${JSON.stringify(metadata, null, 2)}\n`);
  }
  if (options.quiet.value) await io.stdout.write(`${imageId}\n`);
}
