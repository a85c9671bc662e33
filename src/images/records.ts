/** What the database says about images. Names stand in canonical form. */
import { NotFound } from "../core/errors.ts";
import type { ChainId, DiffId, Digest, ImageId } from "../core/ids.ts";
import type { State } from "../state/state.ts";
import {
  canonicalForm,
  describeSpecifier,
  familiarOfCanonical,
  type ImageSpecifier,
  parseImageSpecifier,
  type Reference,
  withDefaultTag,
  withDigest,
} from "./references.ts";

export interface ImageRecord {
  id: ImageId;
  manifest: Digest;
  parent: ImageId | undefined;
  /** When it came here; unix milliseconds. */
  createdAt: number;
  lastTagAt: number | undefined;
  /** Bytes of all layers, unpacked. */
  size: number;
  /** Canonical references, sorted. */
  tags: string[];
  repoDigests: string[];
  /** Names of indexes that lead to it, also those whose tag or digest stands for another platform; sorted. */
  variantOf: string[];
  /** Bottom first. */
  chainIds: ChainId[];
}

export interface LayerRecord {
  chainId: ChainId;
  diffId: DiffId;
  parent: ChainId | undefined;
  /** Bytes this layer adds. */
  size: number;
}

interface ImageRow {
  id: ImageId;
  manifest: Digest;
  parent: ImageId | null;
  created_at: number;
  last_tag_at: number | null;
  size: number;
  tags: string;
  repo_digests: string;
  variant_of: string;
  chain_ids: string;
}

const selectImages = `
  SELECT i.*,
    (SELECT json_group_array(reference) FROM (SELECT reference FROM tags WHERE image_id = i.id ORDER BY 1)) AS tags,
    (SELECT json_group_array(reference) FROM (SELECT reference FROM repo_digests WHERE image_id = i.id ORDER BY 1)) AS repo_digests,
    (SELECT json_group_array(reference) FROM (SELECT DISTINCT x.reference FROM variants v
      JOIN indexes x ON x.digest = v.index_digest WHERE v.image_id = i.id ORDER BY 1)) AS variant_of,
    (SELECT json_group_array(chain_id) FROM
      (SELECT chain_id FROM image_layers WHERE image_id = i.id ORDER BY position)) AS chain_ids
  FROM images i`;

/** All images, the newest first. */
export function allImages(state: State): ImageRecord[] {
  return state.db.query<ImageRow, []>(`${selectImages} ORDER BY i.created_at DESC, i.id`).all().map(fromRow);
}

/** @param id whole, with `sha256:` */
export function imageById(state: State, id: string): ImageRecord | undefined {
  const row = state.db.query<ImageRow, [string]>(`${selectImages} WHERE i.id = ?1`).get(id);
  return row === null ? undefined : fromRow(row);
}

/**
 * Finds an image by name, digest reference, id or an unambiguous prefix of one.
 * @throws InvalidParameter for a malformed reference; NotFound `No such image: x:latest`.
 */
export function findImage(state: State, text: string): ImageRecord {
  const specifier = parseImageSpecifier(text);
  const found = lookUp(state, specifier);
  if (found === undefined) throw new NotFound(`No such image: ${describeSpecifier(specifier)}`);
  return found;
}

/** The image that a name stands for, or undefined. A name without tag means `:latest`. */
export function imageByName(state: State, name: Reference): ImageRecord | undefined {
  const wanted =
    name.digest === undefined
      ? canonicalForm(withDefaultTag(name))
      : canonicalForm(withDigest(name, name.digest));
  const row = state.db
    .query<ImageRow, [string]>(
      `${selectImages} WHERE i.id IN (SELECT image_id FROM tags WHERE reference = ?1
         UNION ALL SELECT image_id FROM repo_digests WHERE reference = ?1)`,
    )
    .get(wanted);
  return row === null ? undefined : fromRow(row);
}

/** The layer's record; undefined for one that was never unpacked, or not durably so. */
export function layerByChain(state: State, chainId: ChainId): LayerRecord | undefined {
  const row = state.db
    .query<{ chain_id: ChainId; diff_id: DiffId; parent: ChainId | null; size: number }, [string]>(
      "SELECT * FROM layers WHERE chain_id = ?1",
    )
    .get(chainId);
  if (row === null) return undefined;
  return {
    chainId: row.chain_id,
    diffId: row.diff_id,
    parent: row.parent ?? undefined,
    size: row.size,
  };
}

/** Ids of the images that were built from this one. */
export function childrenOf(state: State, id: ImageId): ImageId[] {
  const rows = state.db.query<{ id: ImageId }, [string]>("SELECT id FROM images WHERE parent = ?1").all(id);
  return rows.map((row) => row.id);
}

/**
 * Part of a transaction: gives a tag to an image, and to it alone: for a name that leads to an index, `recordIndex`
 * follows.
 * @returns the image that had the name, if another had.
 */
export function setTag(state: State, name: string, id: ImageId, now: number): ImageId | undefined {
  const before = setName(state, "tags", name, id);
  state.db.query("UPDATE images SET last_tag_at = ?2 WHERE id = ?1").run(id, now);
  return before;
}

/**
 * Part of a transaction: notes that an image is known by a digest of a repository (canonical, without tag). For a
 * digest that is an index's, `recordIndex` follows.
 */
export function setRepoDigest(state: State, name: string, id: ImageId): void {
  setName(state, "repo_digests", name, id);
}

function setName(
  state: State,
  table: "tags" | "repo_digests",
  name: string,
  id: ImageId,
): ImageId | undefined {
  const before = state.db
    .query<{ image_id: ImageId }, [string]>(`SELECT image_id FROM ${table} WHERE reference = ?1`)
    .get(name);
  state.db
    .query(`INSERT INTO ${table} VALUES (?1, ?2) ON CONFLICT (reference) DO UPDATE SET image_id = ?2`)
    .run(name, id);
  // Its variants stay for a moment: `recordIndex` may name the same index again.
  state.db.query("DELETE FROM indexes WHERE reference = ?1").run(name);
  return before === null || before.image_id === id ? undefined : before.image_id;
}

/** Part of a transaction: takes a name (tag or digest reference) away. */
export function removeReference(state: State, name: string): void {
  state.db.query("DELETE FROM tags WHERE reference = ?1").run(name);
  state.db.query("DELETE FROM repo_digests WHERE reference = ?1").run(name);
  state.db.query("DELETE FROM indexes WHERE reference = ?1").run(name);
  dropUnnamed(state);
}

/** Part of a transaction: the image that a name is given to, without touching the index that it leads to. */
export function standFor(state: State, name: string, id: ImageId): void {
  for (const table of ["tags", "repo_digests"]) {
    state.db.query(`UPDATE ${table} SET image_id = ?2 WHERE reference = ?1`).run(name, id);
  }
}

/**
 * Documents that are needed as long as the records stand: indexes, manifests and configs. The layers' blobs are those
 * that the manifests name; a variant may have been recorded under another manifest than its image.
 */
export function referencedDocuments(state: State): {
  indexes: Set<Digest>;
  manifests: Set<Digest>;
  configs: Set<Digest>;
} {
  const column = (sql: string) =>
    new Set(
      state.db
        .query<{ digest: Digest }, []>(sql)
        .all()
        .map(({ digest }) => digest),
    );
  return {
    indexes: column("SELECT DISTINCT digest FROM indexes"),
    manifests: column(
      "SELECT manifest AS digest FROM images UNION SELECT manifest AS digest FROM variants WHERE index_digest IN (SELECT digest FROM indexes)",
    ),
    configs: column("SELECT id AS digest FROM images"),
  };
}

/** Part of a transaction: forgets variants of an index that no name leads to any more. */
export function dropUnnamed(state: State): void {
  state.db.query("DELETE FROM variants WHERE index_digest NOT IN (SELECT digest FROM indexes)").run();
}

/** Part of a transaction: writes an image with its layers. A layer or image that is there already stays as it is. */
export function insertImage(
  state: State,
  image: Pick<ImageRecord, "id" | "manifest" | "parent" | "createdAt">,
  layers: readonly LayerRecord[],
): void {
  const size = layers.reduce((sum, layer) => sum + layer.size, 0);
  state.db
    .query("INSERT OR IGNORE INTO images VALUES (?1, ?2, ?3, ?4, NULL, ?5)")
    .run(image.id, image.manifest, image.parent ?? null, image.createdAt, size);
  for (const [position, layer] of layers.entries()) {
    state.db
      .query("INSERT OR IGNORE INTO layers VALUES (?1, ?2, ?3, ?4)")
      .run(layer.chainId, layer.diffId, layer.parent ?? null, layer.size);
    state.db
      .query("INSERT OR IGNORE INTO image_layers VALUES (?1, ?2, ?3)")
      .run(image.id, position, layer.chainId);
  }
}

/** Part of a transaction: forgets an image and its names; its layers stay until they are collected. */
export function deleteImage(state: State, id: ImageId): void {
  for (const table of ["tags", "repo_digests", "variants", "image_layers"]) {
    state.db.query(`DELETE FROM ${table} WHERE image_id = ?1`).run(id);
  }
  state.db.query("DELETE FROM images WHERE id = ?1").run(id);
}

/** Also for a platform of an index whose tag stands for another platform. */
export function hasTag({ tags, variantOf }: ImageRecord): boolean {
  return tags.length > 0 || variantOf.some((name) => !name.includes("@"));
}

/** True for what no name leads to, be it as one platform of several. */
export function isNameless(record: ImageRecord): boolean {
  return record.tags.length + record.repoDigests.length + record.variantOf.length === 0;
}

/** Names as Docker shows them. Digest references are left out. */
export function familiarTags(record: ImageRecord): string[] {
  return record.tags.map(familiarOfCanonical);
}

function lookUp(state: State, specifier: ImageSpecifier): ImageRecord | undefined {
  if (specifier.kind === "id") return imageById(state, specifier.digest);
  const named = imageByName(state, specifier.reference);
  if (named !== undefined || specifier.idPrefix === undefined) return named;
  // "g" follows the last hex digit.
  const rows = state.db
    .query<ImageRow, [string, string]>(`${selectImages} WHERE i.id >= ?1 AND i.id < ?2 LIMIT 2`)
    .all(`sha256:${specifier.idPrefix}`, `sha256:${specifier.idPrefix}g`);
  const [only, second] = rows;
  return only === undefined || second !== undefined ? undefined : fromRow(only);
}

function fromRow(row: ImageRow): ImageRecord {
  return {
    id: row.id,
    manifest: row.manifest,
    parent: row.parent ?? undefined,
    createdAt: row.created_at,
    lastTagAt: row.last_tag_at ?? undefined,
    size: row.size,
    tags: stringsOf(row.tags),
    repoDigests: stringsOf(row.repo_digests),
    variantOf: stringsOf(row.variant_of),
    chainIds: stringsOf(row.chain_ids) as ChainId[],
  };
}

function stringsOf(json: string): string[] {
  const list: unknown = JSON.parse(json);
  return Array.isArray(list) ? list.filter((item) => typeof item === "string") : [];
}
