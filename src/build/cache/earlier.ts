/**
 * What the last COPY of a context to a destination has put into its layer: the file `<data root>/build/copies/<name>`
 * says which result that is, and the digest of each file. The next copy gives the files that are still the same another
 * name in its own layer, and copies only the others. Layers are never written to, so that two may share a file.
 */

import { hasErrno } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import { closeFile, openDirectory } from "../../linux/paths.ts";
import type { BuildRooms } from "../rooms.ts";
import { readKept, writeKept } from "./kept-files.ts";
import { usableResult } from "./results.ts";

/** A layer that holds files of an earlier copy. */
export interface EarlierFiles extends Disposable {
  /** Open directory: the layer. */
  readonly layer: number;
  /** Of the content of the file at this path of the layer. */
  digestOf(path: string): string | undefined;
}

const format = "davit copies 1";
/** More files than this are not noted: reading that would take longer than it saves. */
const mostNoted = 500_000;

/**
 * Opens what the last copy of this name has left.
 * @param name hex. @returns undefined where there was none, or its layer is gone.
 */
export async function openEarlier(rooms: BuildRooms, name: string): Promise<EarlierFiles | undefined> {
  const [id = "", ...lines] = readKept(directoryOf(rooms), name, format);
  const snapshot = id === "" ? undefined : usableResult(rooms.state, id, rooms.bootId)?.snapshot;
  if (snapshot === undefined || !(await rooms.snapshots.has(snapshot))) return undefined;
  const { path } = await rooms.snapshots.layerTarget(snapshot);
  const layer = tryOpen(path);
  if (layer === undefined) return undefined;
  const digests = new Map<string, string>();
  for (const line of lines) {
    const at = line.indexOf("\t");
    if (at > 0) digests.set(line.slice(at + 1), line.slice(0, at));
  }
  return { layer, digestOf: (file) => digests.get(file), [Symbol.dispose]: () => closeFile(layer) };
}

/** It may be removed at any time. */
function tryOpen(path: string): number | undefined {
  try {
    return openDirectory(path);
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Notes what a copy has put into the layer of a result. @param files paths in the layer with digests */
export function noteCopied(
  rooms: BuildRooms,
  name: string,
  result: { readonly id: string; readonly files: Iterable<readonly [path: string, digest: string]> },
): void {
  const lines = [result.id];
  for (const [path, digest] of result.files) {
    if (!path.includes("\n") && path.isWellFormed()) lines.push(`${digest}\t${path}`);
  }
  if (lines.length > 1 && lines.length <= mostNoted) writeKept(directoryOf(rooms), name, format, lines);
}

function directoryOf({ instance }: BuildRooms): string {
  return join(instance.dataRoot, "build", "copies");
}
