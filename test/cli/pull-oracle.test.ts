/** The same pulls from the same registry, by davit and by docker with its dockerd: what a user reads is the same. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDigest } from "../../src/core/ids.ts";
import { parseReference } from "../../src/images/references.ts";
import { openRegistries } from "../../src/registry/client/index.ts";
import { RegistryFailure } from "../../src/registry/server/failures.ts";
import {
  type Authenticator,
  openHtpasswd,
  openRegistryServer,
  type RegistryServer,
} from "../../src/registry/server/index.ts";
import { type Dockerd, missingForDockerd, startDockerd } from "../harness/dockerd.ts";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { amd64, arm64, Blobs, type Entry, s390x } from "../images/layouts.ts";
import { mask, missingForOracle, type Outcome, runCommand } from "./oracle.ts";

const missing = missingForDockerd() ?? missingForOracle();
if (missing !== undefined) console.error(`SKIPPED: pulls, compared with dockerd: ${missing}`);
setDefaultTimeout(60_000);

const account = { username: "alice", password: "secret word" };
const unknown = `sha256:${"a".repeat(64)}`;

let directory: string;
let dockerd: Dockerd;
let davit: DavitInstance;
let open: RegistryServer;
let guarded: RegistryServer;
let closed: RegistryServer;

const blobs = new Blobs();
const first = blobs.image(amd64, "oci", "first");
const many = blobs.index([first, blobs.image(arm64)]);
const images: Readonly<Record<string, Entry>> = {
  latest: many,
  second: blobs.image(amd64, "docker", "second"),
  again: first,
  arm: blobs.image(arm64),
  docker: blobs.index([blobs.image(amd64, "docker"), blobs.image(s390x, "docker")], "docker"),
  attested: blobs.index([first, blobs.attestation(first)]),
  foreign: blobs.index([blobs.image(s390x)]),
  moved: blobs.image(amd64, "oci", "before"),
};
const after = blobs.image(amd64, "oci", "after");

/** In this order, with one engine each. `OPEN`, `GUARDED` and `CLOSED` stand for the registries' hosts. */
const pulls: readonly {
  title: string;
  args: readonly string[];
  config?: "good" | "bad";
  before?: () => Promise<void>;
}[] = [
  { title: "a first pull", args: ["OPEN/app"] },
  { title: "the same again", args: ["OPEN/app"] },
  { title: "the same, quietly", args: ["-q", "OPEN/app"] },
  { title: "another image with the same base", args: ["OPEN/app:second"] },
  { title: "another tag of the same image", args: ["OPEN/app:again"] },
  { title: "an index by digest", args: [`OPEN/app@${many.digest}`] },
  { title: "an index by digest again", args: [`OPEN/app@${many.digest}`] },
  { title: "a manifest by digest", args: [`OPEN/app@${images.second?.digest}`] },
  { title: "a tag and a digest", args: [`OPEN/app:latest@${many.digest}`] },
  { title: "a first pull, quietly", args: ["-q", "OPEN/app:moved"] },
  {
    title: "a tag that has moved",
    args: ["OPEN/app:moved"],
    before: () => publish(`${hostOf(open)}/app`, { moved: after }),
  },
  { title: "the manifest list of Docker", args: ["OPEN/app:docker"] },
  { title: "an index with an attestation", args: ["OPEN/app:attested"] },
  { title: "all tags", args: ["-a", "OPEN/some"] },
  { title: "all tags again", args: ["-a", "OPEN/some"] },
  { title: "all tags, quietly", args: ["-a", "-q", "OPEN/some"] },
  { title: "all tags of a name with a tag", args: ["-a", "OPEN/some:one"] },
  { title: "all tags of a repository that is not there", args: ["-a", "OPEN/nosuch"] },
  { title: "the platform of this machine", args: ["--platform", "linux/amd64", "OPEN/app"] },
  { title: "another platform", args: ["--platform", "linux/arm64", "OPEN/app"] },
  { title: "another platform again", args: ["--platform", "linux/arm64", "OPEN/app"] },
  { title: "a platform that the index has not", args: ["--platform", "linux/riscv64", "OPEN/app"] },
  {
    title: "a platform that the index has not, quietly",
    args: ["-q", "--platform", "linux/riscv64", "OPEN/app"],
  },
  { title: "an index without this machine's platform", args: ["OPEN/app:foreign"] },
  { title: "an image of another platform alone", args: ["OPEN/app:arm"] },
  {
    title: "an image that is not for the wanted platform",
    args: ["--platform", "linux/arm64", "OPEN/single"],
  },
  { title: "a platform that is none", args: ["--platform", "a/b/c/d", "OPEN/app"] },
  { title: "a tag that is not there", args: ["OPEN/app:nosuch"] },
  { title: "a tag that is not there, quietly", args: ["-q", "OPEN/app:nosuch"] },
  { title: "a digest that is not there", args: [`OPEN/app@${unknown}`] },
  { title: "a repository that is not there", args: ["OPEN/nosuch"] },
  { title: "nobody asks for a password: none is given", args: ["GUARDED/app"] },
  { title: "the wrong password", args: ["GUARDED/app"], config: "bad" },
  { title: "the right password", args: ["GUARDED/app"], config: "good" },
  { title: "a repository of others", args: ["CLOSED/app"] },
  { title: "a repository of others, quietly", args: ["-q", "CLOSED/app:1"] },
  { title: "a registry that is not there", args: ["127.0.0.1:1/app"] },
];

describe.skipIf(missing !== undefined)("pulls, against docker and dockerd", () => {
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "davit-test-oracle-"));
    writeFileSync(
      join(directory, "htpasswd"),
      `${account.username}:${Bun.password.hashSync(account.password, { algorithm: "bcrypt", cost: 4 })}\n`,
    );
    const serve = (name: string) =>
      openRegistryServer({
        root: join(directory, name),
        listen: { hostname: "127.0.0.1", port: 0 },
        ...(name === "guarded" ? { authenticator: openHtpasswd(join(directory, "htpasswd")) } : {}),
        ...(name === "closed" ? { authenticator: nobody } : {}),
      });
    [dockerd, davit, open, guarded, closed] = await Promise.all([
      startDockerd({ hostNetwork: true }),
      newInstance({ busybox: false }),
      serve("open"),
      serve("guarded"),
      serve("closed"),
    ]);
    for (const [name, password] of [
      ["good", account.password],
      ["bad", "wrong"],
      ["none", undefined],
    ] as const) {
      mkdirSync(join(directory, name));
      const auth = password === undefined ? undefined : btoa(`${account.username}:${password}`);
      const auths = auth === undefined ? {} : { [hostOf(guarded)]: { auth } };
      writeFileSync(join(directory, name, "config.json"), JSON.stringify({ auths }));
    }
    await publish(`${hostOf(open)}/app`, images);
    await publish(`${hostOf(open)}/some`, { one: first, three: many, two: images.second ?? first });
    await publish(`${hostOf(open)}/single`, { latest: blobs.image(amd64, "oci", "single") });
    await publish(`${hostOf(guarded)}/app`, { latest: many });
  }, 120_000);

  afterAll(async () => {
    await Promise.all([dockerd, davit].map((it) => it?.[Symbol.asyncDispose]()));
    await Promise.all([open, guarded, closed].map((it) => it?.close(0)));
    if (directory !== undefined) rmSync(directory, { recursive: true });
  }, 60_000);

  for (const { title, args, config = "none", before } of pulls) {
    test(`${title} says the same`, async () => {
      await before?.();
      const words = ["pull", ...args.map(filled)];
      const env = { DOCKER_CONFIG: join(directory, config) };
      const [byDocker, byDavit] = await Promise.all([
        runCommand(["docker", "-H", dockerd.host, ...words], { env }),
        davit.run(words, { env }),
      ]);
      expect(comparable(byDavit)).toEqual(comparable(byDocker));
    });
  }
});

/**
 * Layers go their way side by side: their lines have no order between them, and what comes between the first and the
 * last of each Docker skips when it is quick.
 */
function comparable({ code, stdout, stderr }: Outcome): Record<string, unknown> {
  const lines = stdout.split("\n").map(inNewWords);
  const isOfLayer = (line: string) => /^[0-9a-f]{12}: /.test(line);
  const layers = [...Map.groupBy(lines.filter(isOfLayer), (line) => line.slice(0, 12)).values()]
    .map((ofOne) => [ofOne.at(0), ofOne.at(-1)])
    .sort();
  return { code, lines: lines.filter((line) => !isOfLayer(line)), layers, stderr: mask(stderr) };
}

/** Lets everybody in, and to no repository. */
const nobody: Authenticator = {
  authorize: async (_, need) => {
    if (need.kind === "repository") {
      throw new RegistryFailure("DENIED", "requested access to the resource is denied", {
        detail: need.name,
      });
    }
    return { user: undefined, allows: () => false };
  },
};

/** Since version 25 Docker says it as davit does, and of the name that was asked for. */
function inNewWords(line: string): string {
  return line.replace(
    / was found but does not match the specified platform: wanted (\S+), actual: (\S+)$/,
    ":latest was found but its platform ($2) does not match the specified platform ($1)",
  );
}

function hostOf({ port }: RegistryServer): string {
  return `127.0.0.1:${port}`;
}

function filled(word: string): string {
  return word
    .replaceAll("OPEN", hostOf(open))
    .replaceAll("GUARDED", hostOf(guarded))
    .replaceAll("CLOSED", hostOf(closed));
}

/** Puts all blobs and manifests into a repository, and gives tags to some. */
async function publish(name: string, tags: Readonly<Record<string, Entry>>): Promise<void> {
  const registries = openRegistries(
    { mirrors: [], insecure: [], certificateDirectories: [], proxies: {} },
    { userAgent: "davit-test" },
  );
  try {
    const repository = registries.repository(parseReference(name), account);
    const [documents, others] = [new Map<string, string>(), new Map<string, Uint8Array>()];
    for (const [digest, bytes] of blobs.all) {
      const mediaType = mediaTypeOf(bytes);
      if (mediaType === undefined) others.set(digest, bytes);
      else documents.set(digest, mediaType);
    }
    for (const [digest, bytes] of others) {
      await repository.putBlob({ digest: parseDigest(digest), size: bytes.length }, () => once(bytes));
    }
    for (const [digest, mediaType] of documents) {
      await repository.putManifest(digest, { bytes: blobs.all.get(digest) ?? new Uint8Array(), mediaType });
    }
    for (const [tag, { digest, mediaType }] of Object.entries(tags)) {
      await repository.putManifest(tag, { bytes: blobs.all.get(digest) ?? new Uint8Array(), mediaType });
    }
  } finally {
    registries.close();
  }
}

/** Of a manifest or index. */
function mediaTypeOf(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes).toString("latin1");
  return /"(layers|manifests)":/.test(text) ? /"mediaType": *"([^"]*)"/.exec(text)?.[1] : undefined;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
