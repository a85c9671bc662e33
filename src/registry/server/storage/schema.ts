/**
 * The registry's records. Blobs lie in files, everything else is here. A blob's row is the word that its file is whole
 * and on disk; a file without a row is the rest of a crash.
 */
import type { Database } from "bun:sqlite";

/** Applied in order; never edited. */
const migrations: readonly string[] = [
  `
  CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Of its blobs and manifests, kept by the triggers below.
    bytes INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL
  ) WITHOUT ROWID;
  -- The blobs of a repository. Until leased_until (milliseconds since 1970) a blob is kept though no manifest
  -- refers to it: somebody may be about to push the manifest.
  CREATE TABLE links (
    repository INTEGER NOT NULL REFERENCES repositories(id),
    digest TEXT NOT NULL REFERENCES blobs(digest),
    leased_until INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) WITHOUT ROWID;
  CREATE INDEX links_by_digest ON links(digest);
  -- The bytes of manifests and indexes, each once.
  CREATE TABLE documents (
    digest TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
  );
  CREATE TABLE manifests (
    repository INTEGER NOT NULL REFERENCES repositories(id),
    digest TEXT NOT NULL REFERENCES documents(digest),
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    subject TEXT,
    artifact_type TEXT NOT NULL,
    -- JSON, for the list of referrers.
    annotations TEXT,
    leased_until INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) WITHOUT ROWID;
  CREATE INDEX manifests_by_subject ON manifests(repository, subject) WHERE subject IS NOT NULL;
  CREATE INDEX manifests_by_digest ON manifests(digest);
  CREATE TABLE tags (
    repository INTEGER NOT NULL REFERENCES repositories(id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (repository, name)
  ) WITHOUT ROWID;
  CREATE INDEX tags_by_digest ON tags(repository, digest);
  -- What a manifest refers to: blobs, and manifests of an index.
  CREATE TABLE edges (
    repository INTEGER NOT NULL,
    child TEXT NOT NULL,
    parent TEXT NOT NULL,
    PRIMARY KEY (repository, child, parent)
  ) WITHOUT ROWID;
  CREATE INDEX edges_by_parent ON edges(repository, parent);
  CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    repository TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE totals (bytes INTEGER NOT NULL);
  INSERT INTO totals VALUES (0);

  CREATE TRIGGER blob_added AFTER INSERT ON blobs BEGIN
    UPDATE totals SET bytes = bytes + NEW.size;
  END;
  CREATE TRIGGER blob_removed AFTER DELETE ON blobs BEGIN
    UPDATE totals SET bytes = bytes - OLD.size;
  END;
  CREATE TRIGGER document_added AFTER INSERT ON documents BEGIN
    UPDATE totals SET bytes = bytes + length(NEW.bytes);
  END;
  CREATE TRIGGER document_removed AFTER DELETE ON documents BEGIN
    UPDATE totals SET bytes = bytes - length(OLD.bytes);
  END;
  CREATE TRIGGER link_added AFTER INSERT ON links BEGIN
    UPDATE repositories SET bytes = bytes + (SELECT size FROM blobs WHERE digest = NEW.digest)
      WHERE id = NEW.repository;
  END;
  CREATE TRIGGER link_removed AFTER DELETE ON links BEGIN
    UPDATE repositories SET bytes = bytes - (SELECT size FROM blobs WHERE digest = OLD.digest)
      WHERE id = OLD.repository;
  END;
  CREATE TRIGGER manifest_added AFTER INSERT ON manifests BEGIN
    UPDATE repositories SET bytes = bytes + NEW.size WHERE id = NEW.repository;
  END;
  CREATE TRIGGER manifest_removed AFTER DELETE ON manifests BEGIN
    UPDATE repositories SET bytes = bytes - OLD.size WHERE id = OLD.repository;
    DELETE FROM edges WHERE repository = OLD.repository AND parent = OLD.digest;
    DELETE FROM tags WHERE repository = OLD.repository AND digest = OLD.digest;
  END;
  `,
];

/** Brings the tables up to this version of davit. @throws when they are of a newer one. */
export function migrate(database: Database): void {
  const version =
    database.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
  if (version > migrations.length) throw new Error("this registry was written by a newer davit");
  database
    .transaction(() => {
      for (const [index, statements] of migrations.entries()) {
        if (index >= version) database.run(statements);
      }
      database.run(`PRAGMA user_version = ${migrations.length}`);
    })
    .immediate();
}
