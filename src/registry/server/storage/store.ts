/** What a registry knows: repositories with their blobs, manifests and tags. Each method is one transaction at most. */
import { failure, RegistryFailure } from "../failures.ts";
import type { ManifestDocument } from "../manifest-document.ts";
import { type ContentDigest, isContentDigest, isRepositoryName, type RepositoryName } from "../names.ts";
import type { BlobFiles } from "./blob-files.ts";
import type { Records } from "./database.ts";

type Binding = string | number | null | Uint8Array;

export interface StoredManifest {
  digest: ContentDigest;
  mediaType: string;
  bytes: Uint8Array;
  /** Digest of what it is attached to. */
  subject: string | undefined;
}

export interface Referrer {
  mediaType: string;
  digest: string;
  size: number;
  artifactType: string;
  annotations: Record<string, string> | undefined;
}

export interface RepositorySummary {
  name: string;
  /** Bytes of its blobs and manifests. */
  bytes: number;
  tags: number;
}

export interface StoreLimits {
  /** Bytes that the registry may hold; undefined for no limit. */
  total: number | undefined;
  /** Bytes that one repository may hold. */
  repository: number | undefined;
}

export interface StoreOptions {
  limits: StoreLimits;
  /** Milliseconds that content nobody refers to is kept for those who are about to. */
  lease: number;
  /** Whether an index may list manifests that are not here. */
  takesSparseIndexes?: boolean;
}

/** A use is noted after so much of a lease at the latest. Milliseconds. */
const noteUseEvery = 60_000;

export class Store {
  readonly #records: Records;
  readonly #files: BlobFiles;
  readonly #limits: StoreLimits;
  readonly #lease: number;
  /** Milliseconds of a lease that pass before it is renewed: a use is a write only then. */
  readonly #renewAfter: number;
  readonly #takesSparseIndexes: boolean;

  constructor(
    records: Records,
    files: BlobFiles,
    { limits, lease, takesSparseIndexes = false }: StoreOptions,
  ) {
    this.#records = records;
    this.#files = files;
    this.#limits = limits;
    this.#lease = lease;
    this.#renewAfter = Math.min(lease / 2, noteUseEvery);
    this.#takesSparseIndexes = takesSparseIndexes;
  }

  // --- Blobs ---------------------------------------------------------------------------------------------------

  /** Bytes of a blob that the repository has. */
  blobSize(name: RepositoryName, digest: ContentDigest): number | undefined {
    return this.#query<{ size: number }, [string, string]>(
      `SELECT blobs.size FROM repositories JOIN links ON links.repository = repositories.id
       JOIN blobs ON blobs.digest = links.digest WHERE repositories.name = ? AND links.digest = ?`,
    ).get(name, digest)?.size;
  }

  /**
   * Somebody asked whether the blob is there, and may build on the answer: it is kept for a lease from now on. Costs a
   * write only when the lease it has is a while old.
   */
  renewBlob(name: RepositoryName, digest: ContentDigest): void {
    const now = Date.now();
    this.#query(
      `UPDATE links SET leased_until = ?1 WHERE digest = ?2 AND leased_until < ?3
       AND repository = (SELECT id FROM repositories WHERE name = ?4)`,
    ).run(now + this.#lease, digest, now + this.#lease - this.#renewAfter, name);
  }

  /** Whether the registry has this blob, row and file. To be asked inside a transaction that acts on it. */
  holds(digest: ContentDigest): boolean {
    const row = this.#query<{ size: number }, [string]>("SELECT size FROM blobs WHERE digest = ?").get(
      digest,
    );
    return row !== null && this.#files.size(digest) === row.size;
  }

  /** Records a blob whose file is whole and synced, and gives it to the repository. */
  addBlob(name: RepositoryName, digest: ContentDigest, size: number): void {
    this.#records.transact(() => {
      this.#query("INSERT INTO blobs (digest, size) VALUES (?, ?) ON CONFLICT DO NOTHING").run(digest, size);
      this.#link(name, digest);
    });
  }

  /** Gives the repository a blob that the registry has. @returns false when it has none. */
  linkIfHeld(name: RepositoryName, digest: ContentDigest): boolean {
    return this.#records.transact(() => {
      if (!this.holds(digest)) return false;
      this.#link(name, digest);
      return true;
    });
  }

  /** Repositories that have this blob. */
  repositoriesWith(digest: ContentDigest): RepositoryName[] {
    return this.#query<{ name: string }, [string]>(
      "SELECT name FROM links JOIN repositories ON repositories.id = links.repository WHERE digest = ?",
    )
      .all(digest)
      .map(({ name }) => name)
      .filter(isRepositoryName);
  }

  /** Takes a blob from a repository. Its file goes with the next collection, if no other has it. */
  removeBlob(name: RepositoryName, digest: ContentDigest): boolean {
    return (
      this.#query(
        "DELETE FROM links WHERE digest = ? AND repository = (SELECT id FROM repositories WHERE name = ?)",
      ).run(digest, name).changes > 0
    );
  }

  // --- Manifests -----------------------------------------------------------------------------------------------

  /**
   * Stores a manifest, and tags it when `tag` is given. With `checked`, everything that it refers to must be there.
   * @throws RegistryFailure MANIFEST_BLOB_UNKNOWN, DENIED for a quota
   */
  putManifest(
    name: RepositoryName,
    document: ManifestDocument,
    options: { tag?: string; checked: boolean },
  ): void {
    this.#records.transact(() => {
      const repository = this.#repositoryId(name);
      const { digest, bytes } = document;
      if (options.checked) this.#checkReferences(repository, document);
      const isNew = this.#manifestRow(repository, digest) === null;
      if (isNew) this.#checkQuota(name, bytes.length);
      this.#query("INSERT INTO documents (digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING").run(
        digest,
        bytes,
      );
      this.#query(
        `INSERT INTO manifests (repository, digest, media_type, size, subject, artifact_type, annotations, leased_until)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET leased_until = excluded.leased_until, media_type = excluded.media_type`,
      ).run(
        repository,
        digest,
        document.mediaType,
        bytes.length,
        document.subject ?? null,
        document.artifactType,
        document.annotations === undefined ? null : JSON.stringify(document.annotations),
        Date.now() + this.#lease,
      );
      if (isNew) {
        const insert = this.#query(
          "INSERT INTO edges (repository, child, parent) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        );
        for (const reference of document.references) insert.run(repository, reference.digest, digest);
      }
      if (options.tag !== undefined) this.#tag(repository, options.tag, digest);
    });
  }

  /** By tag or digest. */
  manifest(name: RepositoryName, tagOrDigest: string): StoredManifest | undefined {
    const digest = isContentDigest(tagOrDigest) ? tagOrDigest : this.tagDigest(name, tagOrDigest);
    if (digest === undefined) return undefined;
    const row = this.#query<
      { media_type: string; bytes: Uint8Array; subject: string | null },
      [string, string]
    >(
      `SELECT media_type, documents.bytes AS bytes, subject FROM repositories JOIN manifests ON manifests.repository = repositories.id
       JOIN documents ON documents.digest = manifests.digest WHERE repositories.name = ? AND manifests.digest = ?`,
    ).get(name, digest);
    return row === null
      ? undefined
      : { digest, mediaType: row.media_type, bytes: row.bytes, subject: row.subject ?? undefined };
  }

  tagDigest(name: RepositoryName, tag: string): ContentDigest | undefined {
    const digest = this.#query<{ digest: string }, [string, string]>(
      `SELECT digest FROM tags WHERE name = ? AND repository = (SELECT id FROM repositories WHERE name = ?)`,
    ).get(tag, name)?.digest;
    return digest !== undefined && isContentDigest(digest) ? digest : undefined;
  }

  /** Points a tag at a manifest that the repository has. */
  tag(name: RepositoryName, tag: string, digest: ContentDigest): void {
    this.#records.transact(() => this.#tag(this.#repositoryId(name), tag, digest));
  }

  /** As `renewBlob`, for a manifest without a tag, and for what a cache has not been asked for in a long time. */
  renewManifest(name: RepositoryName, digest: ContentDigest): void {
    const now = Date.now();
    this.#query(
      `UPDATE manifests SET leased_until = ?1 WHERE digest = ?2 AND leased_until < ?3
       AND repository = (SELECT id FROM repositories WHERE name = ?4)`,
    ).run(now + this.#lease, digest, now + this.#lease - this.#renewAfter, name);
  }

  /** Removes a manifest with all of its tags. */
  removeManifest(name: RepositoryName, digest: ContentDigest): boolean {
    return this.#records.transact(
      () =>
        this.#query(
          "DELETE FROM manifests WHERE digest = ? AND repository = (SELECT id FROM repositories WHERE name = ?)",
        ).run(digest, name).changes > 0,
    );
  }

  removeTag(name: RepositoryName, tag: string): boolean {
    return (
      this.#query(
        "DELETE FROM tags WHERE name = ? AND repository = (SELECT id FROM repositories WHERE name = ?)",
      ).run(tag, name).changes > 0
    );
  }

  // --- Lists ---------------------------------------------------------------------------------------------------

  has(name: RepositoryName): boolean {
    return this.#query("SELECT 1 FROM repositories WHERE name = ?").get(name) !== null;
  }

  /** At most `count` tags after `last`, in lexical order. */
  tags(name: RepositoryName, last: string, count: number): string[] {
    return this.#query<{ name: string }, [string, string, number]>(
      `SELECT name FROM tags WHERE repository = (SELECT id FROM repositories WHERE name = ?) AND name > ?
       ORDER BY name LIMIT ?`,
    )
      .all(name, last, count)
      .map((row) => row.name);
  }

  /** At most `count` repositories after `last` that hold manifests, and whose name contains `part`. */
  repositories(last: string, count: number, part = ""): RepositorySummary[] {
    return this.#query<RepositorySummary, [string, string, number]>(
      `SELECT name, bytes, (SELECT count(*) FROM tags WHERE tags.repository = repositories.id) AS tags
       FROM repositories WHERE name > ?1 AND instr(name, ?2) > 0
       AND EXISTS (SELECT 1 FROM manifests WHERE manifests.repository = repositories.id)
       ORDER BY name LIMIT ?3`,
    ).all(last, part, count);
  }

  /** Manifests whose subject is `subject`, at most `count` after the digest `last`; of one artifact type if given. */
  referrers(
    name: RepositoryName,
    subject: ContentDigest,
    last: string,
    count: number,
    artifactType?: string,
  ): Referrer[] {
    return this.#query<
      {
        digest: string;
        media_type: string;
        size: number;
        artifact_type: string;
        annotations: string | null;
      },
      [string, string, string, string | null, number]
    >(
      `SELECT digest, media_type, size, artifact_type, annotations FROM manifests
       WHERE repository = (SELECT id FROM repositories WHERE name = ?1) AND subject = ?2 AND digest > ?3
       AND (?4 IS NULL OR artifact_type = ?4) ORDER BY digest LIMIT ?5`,
    )
      .all(name, subject, last, artifactType ?? null, count)
      .map((row) => ({
        mediaType: row.media_type,
        digest: row.digest,
        size: row.size,
        artifactType: row.artifact_type,
        annotations: row.annotations === null ? undefined : JSON.parse(row.annotations),
      }));
  }

  /** Bytes that the registry holds. */
  totalBytes(): number {
    return this.#query<{ bytes: number }, []>("SELECT bytes FROM totals").get()?.bytes ?? 0;
  }

  repositoryBytes(name: RepositoryName): number {
    return (
      this.#query<{ bytes: number }, [string]>("SELECT bytes FROM repositories WHERE name = ?").get(name)
        ?.bytes ?? 0
    );
  }

  /** @throws RegistryFailure DENIED (413) when `more` bytes on top of what is there would be too many. */
  checkQuota(name: RepositoryName, more: { total: number; repository: number }): void {
    const { total, repository } = this.#limits;
    if (total !== undefined && this.totalBytes() + more.total > total) {
      throw overQuota("the registry", total);
    }
    if (repository !== undefined && this.repositoryBytes(name) + more.repository > repository) {
      throw overQuota(`repository ${name}`, repository);
    }
  }

  // --- Inside a transaction ------------------------------------------------------------------------------------

  #checkQuota(name: RepositoryName, more: number): void {
    this.checkQuota(name, { total: more, repository: more });
  }

  #repositoryId(name: RepositoryName): number {
    const find = this.#query<{ id: number }, [string]>("SELECT id FROM repositories WHERE name = ?");
    const known = find.get(name);
    if (known !== null) return known.id;
    return Number(this.#query("INSERT INTO repositories (name) VALUES (?)").run(name).lastInsertRowid);
  }

  #link(name: RepositoryName, digest: ContentDigest): void {
    this.#query(
      `INSERT INTO links (repository, digest, leased_until) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET leased_until = excluded.leased_until`,
    ).run(this.#repositoryId(name), digest, Date.now() + this.#lease);
  }

  #tag(repository: number, tag: string, digest: ContentDigest): void {
    this.#query(
      `INSERT INTO tags (repository, name, digest, updated) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated`,
    ).run(repository, tag, digest, Date.now());
  }

  #manifestRow(repository: number, digest: string): unknown {
    return this.#query("SELECT 1 FROM manifests WHERE repository = ? AND digest = ?").get(repository, digest);
  }

  #checkReferences(repository: number, document: ManifestDocument): void {
    const blob = this.#query("SELECT 1 FROM links WHERE repository = ? AND digest = ?");
    for (const { digest, kind, isElsewhere } of document.references) {
      if (isElsewhere || (kind === "manifest" && this.#takesSparseIndexes)) continue;
      const found =
        kind === "manifest" ? this.#manifestRow(repository, digest) : blob.get(repository, digest);
      if (found === null) {
        const message =
          kind === "manifest" ? "manifest of the index unknown to registry" : "blob unknown to registry";
        throw failure("MANIFEST_BLOB_UNKNOWN", message, { digest });
      }
    }
  }

  #query<Row = unknown, Parameters extends Binding[] = Binding[]>(sql: string) {
    return this.#records.database.query<Row, Parameters>(sql);
  }
}

function overQuota(whose: string, bytes: number) {
  return new RegistryFailure("DENIED", `quota exceeded: ${whose} may hold ${bytes} bytes`, { status: 413 });
}
