/** In what the file systems of two images differ. */
import type { DiffId } from "../../core/ids.ts";
import type { ImageDifference } from "../../core/objects.ts";
import { pathBytes } from "../../linux/paths.ts";
import type { Image } from "../image.ts";
import { FileTree, type TreeNode } from "./file-tree.ts";
import { readLayer } from "./read-layer.ts";

/**
 * The paths that differ in kind, content, mode, owner, link target or extended attributes, sorted by their bytes.
 * Times alone are no difference: two builds of the same files are the same.
 * @throws InvalidParameter for a layer that is no tar; what opening a layer throws.
 */
export async function imageDifferences(
  from: Image,
  to: Image,
  options: { signal?: AbortSignal } = {},
): Promise<ImageDifference[]> {
  // What stands in a layer that both have is the same in both: no need to digest it, unless the other image has the
  // same file from another layer too.
  const shared = new Set(from.layers.map(({ diffId }) => diffId)).intersection(
    new Set(to.layers.map(({ diffId }) => diffId)),
  );
  return (
    (await differ(from, to, (diffId) => !shared.has(diffId), options)) ??
    (await differ(from, to, () => true, options)) ??
    []
  );
}

/** Undefined where a file can only be compared by a content that was not digested. */
async function differ(
  from: Image,
  to: Image,
  withContents: (diffId: DiffId) => boolean,
  options: { signal?: AbortSignal },
): Promise<ImageDifference[] | undefined> {
  using before = new FileTree();
  using after = new FileTree();
  for (const [tree, image] of [
    [before, from],
    [after, to],
  ] as const) {
    for (const layer of image.layers) {
      await readLayer(tree, layer, { ...options, withContents: withContents(layer.diffId) });
    }
  }
  const differences: ImageDifference[] = [];
  for (const found of compare(before.nodes(), after.nodes())) {
    if (found === "unknown") return undefined;
    differences.push(found);
  }
  return differences;
}

/** Walks two sorted lists side by side. */
function* compare(
  before: Iterator<TreeNode>,
  after: Iterator<TreeNode>,
): Generator<ImageDifference | "unknown"> {
  let left = next(before);
  let right = next(after);
  while (left !== undefined || right !== undefined) {
    const order = left === undefined ? 1 : right === undefined ? -1 : compareBytes(left.path, right.path);
    if (order < 0) {
      yield difference("removed", left, undefined);
      left = next(before);
    } else if (order > 0) {
      yield difference("added", undefined, right);
      right = next(after);
    } else {
      if (left !== undefined && right !== undefined) {
        const same = isSame(left, right);
        if (same !== true) yield same ?? difference("changed", left, right);
      }
      left = next(before);
      right = next(after);
    }
  }
}

function next(nodes: Iterator<TreeNode>): TreeNode | undefined {
  const { done, value } = nodes.next();
  return done === true ? undefined : value;
}

/** True, undefined for a difference, or unknown where a content would have to be compared that was not digested. */
function isSame(left: TreeNode, right: TreeNode): true | "unknown" | undefined {
  if (left.type !== right.type || left.attributes !== right.attributes || left.size !== right.size) {
    return undefined;
  }
  if (left.type !== "file" || left.origin === right.origin) return true;
  if (left.digest === "" || right.digest === "") return "unknown";
  return left.digest === right.digest ? true : undefined;
}

function difference(
  kind: ImageDifference["Kind"],
  before: TreeNode | undefined,
  after: TreeNode | undefined,
): ImageDifference {
  return {
    Path: `/${(after ?? before)?.path ?? ""}`,
    Kind: kind,
    SizeBefore: before?.size ?? 0,
    SizeAfter: after?.size ?? 0,
  };
}

function compareBytes(left: string, right: string): number {
  if (left === right) return 0;
  return Buffer.compare(pathBytes(left), pathBytes(right));
}
