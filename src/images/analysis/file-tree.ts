/**
 * The file system that layers make, one after the other, without its files' bytes: what each path is, and which layer
 * it comes from. It lies in a temporary SQLite database that spills to the disk, so that a million paths take no more
 * memory than a thousand.
 */
import { Database, type Statement } from "bun:sqlite";
import { pathBytes, pathText } from "../../linux/paths.ts";
import { splitPath } from "../layers/entry-name.ts";
import type { TarEntry } from "../layers/tar-entry.ts";

/** What one layer did to those below it. */
export interface LayerCounts {
  added: number;
  changed: number;
  removed: number;
  /** Bytes of files of lower layers that nobody sees any more. */
  wasted: number;
  /** Bytes of the files that this layer brings; hard links once. */
  unpacked: number;
}

/** One path, as two trees are compared. */
export interface TreeNode {
  path: string;
  type: string;
  /** Mode, owner, link target, device and extended attributes in one word. */
  attributes: string;
  /** Bytes; 0 for what is no regular file. */
  size: number;
  /** Diff id of the layer that it comes from. */
  origin: string;
  /** Of a regular file's content; empty where it was not computed. */
  digest: string;
}

interface Row {
  type: string;
  attributes: string;
  size: number;
  layer: number;
  digest: string;
  /** Shared by the names of one file, once it has several. */
  inode: number | null;
  /** The layer that removed it, while that layer is read: it may bring it back. */
  gone: number | null;
}

interface SharedFile {
  size: number;
  links: number;
  layer: number;
}

type Path = Uint8Array;

/** Pages of 4 KiB that stay in memory. */
const cachedPages = 16_384;
const deepestLinks = 40;
const mostCached = 10_000;

export class FileTree implements Disposable {
  readonly #db = new Database("");
  readonly #get: Statement<Row, [Path]>;
  readonly #put: Statement<unknown, [Path, string, string, number, number, string, number | null]>;
  readonly #origins: string[] = [];
  /** Files with several names; few in any image. */
  readonly #shared = new Map<number, SharedFile>();
  /** Directories as this layer's entries name them → where they are. */
  readonly #directories = new Map<string, string>();
  #counts: LayerCounts = noCounts();

  constructor() {
    this.#db.run(`PRAGMA cache_size = ${cachedPages}`);
    this.#db.run("PRAGMA journal_mode = OFF");
    this.#db.run("PRAGMA synchronous = OFF");
    this.#db.run(`CREATE TABLE files (
      path BLOB PRIMARY KEY, type TEXT, attributes TEXT, size INTEGER, layer INTEGER, digest TEXT,
      inode INTEGER, gone INTEGER
    ) STRICT, WITHOUT ROWID`);
    this.#get = this.#db.query<Row, [Path]>(
      "SELECT type, attributes, size, layer, digest, inode, gone FROM files WHERE path = ?1",
    );
    this.#put = this.#db.query("INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)");
  }

  /** Begins the next layer. @param origin its diff id. */
  beginLayer(origin: string): void {
    this.#origins.push(origin);
    this.#counts = noCounts();
    this.#directories.clear();
    this.#db.run("BEGIN");
  }

  endLayer(): LayerCounts {
    this.#db.query("DELETE FROM files WHERE gone IS NOT NULL").run();
    this.#db.run("COMMIT");
    return this.#counts;
  }

  /** An entry of the layer. @param path clean, below the root. */
  add(path: string, entry: TarEntry, digest: string): void {
    const place = this.#place(path);
    if (place === "") return;
    if (entry.type === "hard-link") this.#link(place, entry);
    else {
      const size = entry.type === "file" ? entry.size : 0;
      this.#counts.unpacked += size;
      this.#set(place, { type: entry.type, attributes: attributesOf(entry), size, digest, inode: null });
    }
  }

  /** `.wh.<name>`: nothing of lower layers is left of the path and what is below it. */
  removeBelow(path: string): void {
    const place = this.#place(path, false);
    this.#remove("path = ?2", keyOf(place));
    this.#removeChildren(place);
  }

  /** An opaque directory. */
  hideBelow(path: string): void {
    this.#removeChildren(this.#resolve(path, 0, false));
  }

  /** All paths, sorted by their bytes. */
  *nodes(): Generator<TreeNode> {
    const rows = this.#db.query<Row & { path: Uint8Array }, []>("SELECT * FROM files ORDER BY path");
    for (const row of rows.iterate()) {
      const { type, attributes, size, digest, layer } = row;
      const origin = this.#origins[layer] ?? "";
      yield { path: pathText(row.path), type, attributes, size, digest, origin };
    }
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  get #layer(): number {
    return this.#origins.length - 1;
  }

  #set(path: string, node: Pick<Row, "type" | "attributes" | "size" | "digest" | "inode">): void {
    const key = keyOf(path);
    const before = this.#get.get(key);
    const isDirectory = node.type === "directory";
    if (before === null) this.#counts.added += 1;
    else if (before.layer === this.#layer) this.#forget(before);
    else {
      const isSame = before.type === node.type && before.attributes === node.attributes;
      if (!(isDirectory && isSame)) this.#counts.changed += 1;
      // A whiteout came first: then it is a change, not a removal and an addition.
      if (before.gone !== null) this.#counts.removed -= 1;
      else this.#waste(before);
    }
    if (before?.type === "directory" && !isDirectory) this.#removeChildren(path);
    this.#put.run(key, node.type, node.attributes, node.size, this.#layer, node.digest, node.inode);
  }

  /** One more name for a file. Its bytes came with the first. */
  #link(path: string, entry: TarEntry): void {
    const target = this.#place(cleanTarget(entry.linkName), false);
    const key = keyOf(target);
    const row = this.#get.get(key);
    // To itself, or to what is not there: unpacking refuses that, here it is left out.
    if (row === null || row.gone !== null || row.type === "directory" || target === path) return;
    let inode = row.inode;
    if (inode === null) {
      inode = this.#shared.size + 1;
      this.#shared.set(inode, { size: row.size, links: 1, layer: row.layer });
      this.#db.query("UPDATE files SET inode = ?2 WHERE path = ?1").run(key, inode);
    }
    const shared = this.#shared.get(inode);
    if (shared !== undefined) shared.links += 1;
    this.#set(path, { ...row, inode });
  }

  #removeChildren(directory: string): void {
    if (directory === "") this.#remove("path >= ?2", keyOf(""));
    else this.#remove("path >= ?2 AND path < ?3", keyOf(`${directory}/`), keyOf(`${directory}0`));
  }

  /** Marks rows of lower layers; what this layer wrote itself stays, whatever the order of its entries. */
  #remove(where: string, ...keys: Path[]): void {
    const condition = `${where} AND layer < ?1 AND gone IS NULL`;
    const parameters: [number, ...Path[]] = [this.#layer, ...keys];
    const shared = this.#db
      .query<{ inode: number }, [number, ...Path[]]>(
        `SELECT inode FROM files WHERE ${condition} AND inode IS NOT NULL`,
      )
      .all(...parameters);
    for (const { inode } of shared) this.#waste({ inode, size: 0 });
    const sum = this.#db
      .query<{ count: number; bytes: number | null }, [number, ...Path[]]>(
        `SELECT count(*) AS count, sum(CASE WHEN inode IS NULL THEN size END) AS bytes FROM files WHERE ${condition}`,
      )
      .get(...parameters);
    if (sum === null || sum.count === 0) return;
    this.#db
      .query<unknown, [number, ...Path[]]>(`UPDATE files SET gone = ?1 WHERE ${condition}`)
      .run(...parameters);
    this.#directories.clear();
    this.#counts.removed += sum.count;
    this.#counts.wasted += sum.bytes ?? 0;
  }

  /** A name of a lower layer's file goes; its bytes are wasted with the last one. */
  #waste(row: Pick<Row, "inode" | "size">): void {
    if (row.inode === null) this.#counts.wasted += row.size;
    else {
      const shared = this.#forget(row);
      if (shared !== undefined && shared.links === 0 && shared.layer < this.#layer) {
        this.#counts.wasted += shared.size;
      }
    }
  }

  #forget({ inode }: Pick<Row, "inode">): SharedFile | undefined {
    const shared = inode === null ? undefined : this.#shared.get(inode);
    if (shared !== undefined) shared.links -= 1;
    return shared;
  }

  /** Where a path is: its directory with symlinks followed, as unpacking does it; missing directories are made. */
  #place(path: string, makes = true): string {
    const { parent, base } = splitPath(path);
    if (parent === "") return base;
    const directory = this.#resolve(parent, 0, makes);
    return directory === "" ? base : `${directory}/${base}`;
  }

  #resolve(directory: string, depth: number, makes: boolean): string {
    if (directory === "") return "";
    const known = this.#directories.get(directory);
    if (known !== undefined) return known;
    const { parent, base } = splitPath(directory);
    const above = this.#resolve(parent, depth, makes);
    const path = above === "" ? base : `${above}/${base}`;
    const row = this.#get.get(keyOf(path));
    let found = path;
    if (row?.type === "symlink" && row.gone === null && depth < deepestLinks) {
      found = this.#resolve(targetOf(above, row.attributes), depth + 1, makes);
    } else if (row === null || row.gone !== null) {
      if (!makes) return path;
      this.#set(path, { type: "directory", attributes: impliedDirectory, size: 0, digest: "", inode: null });
    }
    if (this.#directories.size >= mostCached) this.#directories.clear();
    this.#directories.set(directory, found);
    return found;
  }
}

const impliedDirectory = "755 0 0";

function attributesOf(entry: TarEntry): string {
  const { type, mode, uid, gid, linkName, deviceMajor, deviceMinor, xattrs } = entry;
  const parts = [mode.toString(8), String(uid), String(gid)];
  if (type.endsWith("device")) parts.push(`${deviceMajor}:${deviceMinor}`);
  for (const [name, value] of [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    parts.push(`${name}=${Buffer.from(value).toString("hex")}`);
  }
  // Last, for it may hold anything.
  if (type === "symlink") parts.push(`-> ${linkName}`);
  return parts.join(" ");
}

/** Where a symlink leads, from the root. */
function targetOf(directory: string, attributes: string): string {
  const target = attributes.slice(attributes.indexOf("-> ") + 3);
  return cleanTarget(target.startsWith("/") ? target : `/${directory}/${target}`);
}

/** `..` above the root stays there. */
function cleanTarget(name: string): string {
  const components: string[] = [];
  for (const component of name.split("/")) {
    if (component === "..") components.pop();
    else if (component !== "" && component !== ".") components.push(component);
  }
  return components.join("/");
}

/** Bytes without the final NUL: they sort as the kernel's names, and names that are not UTF-8 stay apart. */
function keyOf(path: string): Path {
  return pathBytes(path).subarray(0, -1);
}

function noCounts(): LayerCounts {
  return { added: 0, changed: 0, removed: 0, wasted: 0, unpacked: 0 };
}
