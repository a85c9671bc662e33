/**
 * A repository over HTTP: each method of the interface as the requests it takes. To find that nothing is new takes a few
 * of them; the rest is loaded when it is used.
 */
import { InvalidParameter } from "../../core/errors.ts";
import { type Digest, isDigest } from "../../core/ids.ts";
import type { ByteSource } from "../../images/layers/tar-entry.ts";
import { type Descriptor, digestOf, largestDocument } from "../../images/manifest.ts";
import type { Reference } from "../../images/references.ts";
import { readWhole } from "./documents.ts";
import { acceptedManifests, bareType, manifestTypeOf } from "./manifest-type.ts";
import { type Patience, withPatience } from "./patience.ts";
import type { BlobOutcome, RemoteDocument, Repository, UploadOptions } from "./repository.ts";
import { pullScope, pushScope } from "./scopes.ts";
import type { Session } from "./session.ts";
import type { Site } from "./site.ts";
import { type Act, translate } from "./translate.ts";

const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const tagsPerPage = 1000;
const mostTags = 1_000_000;

export class RemoteRepository implements Repository {
  readonly domain: string;
  readonly path: string;
  readonly #site: Site;

  constructor(site: Site, path: string) {
    this.domain = site.domain;
    this.path = path;
    this.#site = site;
  }

  resolve(tagOrDigest: string, signal?: AbortSignal): Promise<Descriptor> {
    return this.#translated("pull", tagOrDigest, () =>
      this.#site.read(signal, (session, patience) => this.#head(session, patience, tagOrDigest, signal)),
    );
  }

  manifest(tagOrDigest: string, signal?: AbortSignal): Promise<RemoteDocument> {
    return this.#translated("pull", tagOrDigest, () =>
      this.#site.read(signal, (session, patience) => this.#get(session, patience, tagOrDigest, signal)),
    );
  }

  async *blob(
    descriptor: Descriptor,
    {
      offset = 0,
      signal,
      freesChunks = false,
    }: { offset?: number; signal?: AbortSignal; freesChunks?: boolean } = {},
  ): AsyncGenerator<Uint8Array> {
    const { patience } = this.#site;
    const scopes = [pullScope(this.path)];
    const options = { path: this.path, scopes, patience, offset, signal, freesChunks };
    try {
      const { download } = await import("./download.ts");
      yield* download(this.#site.places(), descriptor, options);
    } catch (error) {
      throw this.#meaning(error, "pull");
    }
  }

  async document(descriptor: Descriptor, signal?: AbortSignal): Promise<Uint8Array> {
    const { digest, size } = descriptor;
    if (size > largestDocument) {
      throw new InvalidParameter(
        `blob ${digest} has ${size} bytes; at most ${largestDocument} are read at once`,
      );
    }
    const bytes = Buffer.concat(
      await Array.fromAsync(this.blob(descriptor, signal === undefined ? {} : { signal })),
    );
    if (digestOf(bytes) !== digest)
      throw new InvalidParameter(`blob ${digest} has the content of ${digestOf(bytes)}`);
    return bytes;
  }

  hasBlob(digest: Digest, signal?: AbortSignal): Promise<number | undefined> {
    return this.#translated("other", digest, async () =>
      this.#headBlob(await this.#site.main(), digest, pullScope(this.path), signal),
    );
  }

  putBlob(
    { digest, size }: Pick<Descriptor, "digest" | "size">,
    source: () => ByteSource,
    options: UploadOptions = {},
  ): Promise<BlobOutcome> {
    return this.#translated("push", digest, async () => {
      const session = await this.#site.main();
      const known = await this.#headBlob(session, digest, pushScope(this.path), options.signal);
      if (known !== undefined) return { kind: "exists" };
      const { upload } = await import("./upload.ts");
      const parts = { session, path: this.path, patience: this.#site.patience };
      return await upload(parts, { digest, size, source }, options);
    });
  }

  putManifest(
    tagOrDigest: string,
    { bytes, mediaType }: Pick<RemoteDocument, "bytes" | "mediaType">,
    signal?: AbortSignal,
  ): Promise<Digest> {
    return this.#translated("push", tagOrDigest, async () => {
      const session = await this.#site.main();
      const answer = await withPatience(this.#site.patience, signal, () =>
        session.request({
          method: "PUT",
          target: this.#manifestPath(tagOrDigest),
          scopes: [pushScope(this.path)],
          headers: { "Content-Type": mediaType },
          body: { open: () => bytes, length: bytes.byteLength },
          expect: [200, 201, 202],
          signal,
        }),
      );
      await answer.discard();
      const digest = digestOf(bytes);
      checkStated(answer.headers, digest, `the manifest of ${this.path}`);
      return digest;
    });
  }

  async *tags(signal?: AbortSignal): AsyncGenerator<string> {
    yield* await this.#translated("pull", undefined, () =>
      this.#site.read(signal, (session, patience) => this.#tags(session, patience, signal)),
    );
  }

  async #tags(session: Session, patience: Patience, signal: AbortSignal | undefined): Promise<string[]> {
    const { pages } = await import("./paging.ts");
    const found: string[] = [];
    const target = `v2/${this.path}/tags/list?n=${tagsPerPage}`;
    const request = { target, scopes: [pullScope(this.path)], accept: "application/json", patience, signal };
    for await (const { json } of pages(session, request)) {
      const tags = json.at("tags").optional((value) => value.strings()) ?? [];
      const wrong = tags.find((tag) => !tagPattern.test(tag));
      if (wrong !== undefined) throw new InvalidParameter(`${this.path} has an invalid tag: ${quote(wrong)}`);
      for (const tag of tags) found.push(tag);
      if (found.length > mostTags) throw new InvalidParameter(`${this.path} has more than ${mostTags} tags`);
    }
    return found;
  }

  removeManifest(tagOrDigest: string, signal?: AbortSignal): Promise<void> {
    return this.#translated("other", tagOrDigest, async () => {
      const session = await this.#site.main();
      const answer = await withPatience(this.#site.patience, signal, () =>
        session.request({
          method: "DELETE",
          target: this.#manifestPath(tagOrDigest),
          scopes: [`repository:${this.path}:delete`],
          expect: [200, 202, 204],
          signal,
        }),
      );
      await answer.discard();
    });
  }

  referrers(digest: Digest, artifactType?: string): Promise<Descriptor[]> {
    return this.#translated("other", digest, async () => {
      const { referrers } = await import("./referrers.ts");
      const session = await this.#site.main();
      const { patience } = this.#site;
      const manifest = (tag: string) => this.#get(session, patience, tag, undefined);
      return await referrers({ session, patience, path: this.path, digest, artifactType, manifest });
    });
  }

  async #get(
    session: Session,
    patience: Patience,
    tagOrDigest: string,
    signal: AbortSignal | undefined,
  ): Promise<RemoteDocument> {
    const what = `manifest ${this.path}:${tagOrDigest}`;
    return await withPatience(patience, signal, async () => {
      const answer = await session.request({
        method: "GET",
        target: this.#manifestPath(tagOrDigest),
        scopes: [pullScope(this.path)],
        headers: { Accept: acceptedManifests },
        expect: [200],
        signal,
        // Docker asks for a tag by HEAD first.
        ...(isDigest(tagOrDigest) ? {} : { toldAs: "HEAD" }),
      });
      const bytes = await readWhole(answer, largestDocument, what);
      const digest = digestOf(bytes);
      if (isDigest(tagOrDigest) && tagOrDigest !== digest) {
        throw new InvalidParameter(`manifest verification failed for digest ${tagOrDigest}`);
      }
      checkStated(answer.headers, digest, what);
      const mediaType = manifestTypeOf(bytes, bareType(answer.headers.get("content-type")), what);
      return { bytes, digest, mediaType };
    });
  }

  async #head(
    session: Session,
    patience: Patience,
    tagOrDigest: string,
    signal: AbortSignal | undefined,
  ): Promise<Descriptor> {
    const described = await withPatience(patience, signal, async () => {
      const answer = await session.request({
        method: "HEAD",
        target: this.#manifestPath(tagOrDigest),
        scopes: [pullScope(this.path)],
        headers: { Accept: acceptedManifests },
        // A refusal to HEAD has no words; GET gets them.
        expect: [200, 400, 403, 404, 405],
        signal,
      });
      await answer.discard();
      return answer.status === 200 ? describe(answer.headers, tagOrDigest) : undefined;
    });
    if (described !== undefined) return described;
    const { bytes, digest, mediaType } = await this.#get(session, patience, tagOrDigest, signal);
    return { mediaType, digest, size: bytes.byteLength };
  }

  async #headBlob(
    session: Session,
    digest: Digest,
    scope: string,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    return await withPatience(this.#site.patience, signal, async () => {
      const answer = await session.request({
        method: "HEAD",
        target: `v2/${this.path}/blobs/${digest}`,
        scopes: [scope],
        expect: [200, 404],
        signal,
      });
      await answer.discard();
      return answer.status === 404 ? undefined : Number(answer.headers.get("content-length") ?? "0");
    });
  }

  #manifestPath(tagOrDigest: string): string {
    if (!isDigest(tagOrDigest) && !tagPattern.test(tagOrDigest)) {
      throw new InvalidParameter(`invalid tag or digest: ${quote(tagOrDigest)}`);
    }
    return `v2/${this.path}/manifests/${tagOrDigest}`;
  }

  async #translated<Result>(
    act: Act,
    tagOrDigest: string | undefined,
    work: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw this.#meaning(error, act, tagOrDigest);
    }
  }

  #meaning(error: unknown, act: Act, tagOrDigest?: string): unknown {
    const { domain, path } = this;
    const digest = tagOrDigest !== undefined && isDigest(tagOrDigest) ? tagOrDigest : undefined;
    const tag = digest === undefined ? tagOrDigest : undefined;
    const reference: Reference = { domain, path, tag, digest };
    return translate(error, act, reference);
  }
}

/** What a HEAD says of a manifest; undefined when it does not say enough. */
function describe(headers: Headers, tagOrDigest: string): Descriptor | undefined {
  const digest = headers.get("docker-content-digest") ?? "";
  const size = Number(headers.get("content-length") ?? Number.NaN);
  const mediaType = bareType(headers.get("content-type"));
  if (!isDigest(digest) || !Number.isSafeInteger(size) || size <= 0 || mediaType === "") return undefined;
  if (isDigest(tagOrDigest) && tagOrDigest !== digest) {
    throw new InvalidParameter(`manifest verification failed for digest ${tagOrDigest}`);
  }
  return { mediaType, digest, size };
}

/** The registry's own idea of a document's digest has to be ours. */
function checkStated(headers: Headers, digest: Digest, what: string): void {
  const stated = headers.get("docker-content-digest");
  if (stated !== null && isDigest(stated) && stated !== digest) {
    throw new InvalidParameter(`${what}: the registry says that it is ${stated}, but it is ${digest}`);
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 140));
}
