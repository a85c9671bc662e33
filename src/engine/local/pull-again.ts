/**
 * The beginning of a `pull`. Where a name leads to what it led to before, and all of that is here, one question to the
 * registry is enough, and what a download needs is not loaded. Messages are dockerd's.
 */
import { type Digest, parseDigest } from "../../core/ids.ts";
import { parseJson } from "../../images/json.ts";
import type { Descriptor, ImageConfig } from "../../images/manifest.ts";
import { progressOf, type Report } from "../../images/progress.ts";
import { type ImageRecord, imageByName } from "../../images/records.ts";
import {
  canonicalForm,
  familiarForm,
  familiarName,
  parseReference,
  type Reference,
  withDefaultTag,
  withDigest,
} from "../../images/references.ts";
import type { Repository } from "../../registry/client/index.ts";
import { appendEvent, type NewEvent, ringBell } from "../../state/events.ts";
import { isCommitted } from "../../storage/records.ts";
import type { ProgressMessage, PullOptions } from "../engine.ts";
import type { Local } from "./local.ts";

/**
 * @throws InvalidParameter for a reference or platform that is none, and for what a registry sends that is not what it
 *   promised; NotFound, Unauthorized, Unavailable in Docker's words; LinuxError ENOSPC. Then nothing has changed but
 *   what `all` had pulled before.
 */
export function pull(local: Local, text: string, options: PullOptions = {}): AsyncGenerator<ProgressMessage> {
  return progressOf(async (report, signal) => {
    const reference = parseReference(text);
    const repository = local.registries.repository(reference, options.auth);
    const isPlain = options.all !== true && !options.platform && reference.digest === undefined;
    const name = withDefaultTag(reference);
    const record = isPlain ? imageByName(local.state, name) : undefined;
    const resolving = record === undefined ? undefined : resolve(repository, name, signal);
    // While the registry thinks.
    const here = record === undefined ? undefined : whatIsHere(local, record, name);
    const resolved = await resolving;
    if (here !== undefined && here.manifest === resolved) {
      tellUpToDate(local, here, name, report);
      return;
    }
    const { pullInto } = await import("./pull.ts");
    await pullInto({ local, repository, reference, options, resolved, report, signal });
  }, options.signal);
}

async function resolve(
  repository: Repository,
  { tag = "" }: Reference,
  signal: AbortSignal,
): Promise<Digest> {
  return (await repository.resolve(tag, signal)).digest;
}

/** An image that is here whole. */
interface WholeImage {
  manifest: Digest;
  labels: Record<string, string>;
}

/** Undefined where there is more to find out: an image that is not named so, one of several platforms, or damaged. */
function whatIsHere(local: Local, record: ImageRecord, name: Reference): WholeImage | undefined {
  const { manifest } = record;
  if (record.variantOf.length > 0) return undefined;
  const isNamed =
    record.tags.includes(canonicalForm(name)) &&
    record.repoDigests.includes(canonicalForm(withDigest(name, manifest)));
  const [document, config] = [manifest, record.id].map((digest) => local.content.tryRead(digest));
  if (!isNamed || document === undefined || config === undefined) return undefined;
  if (!hasLayers(local, record, layersOf(document, manifest))) return undefined;
  return { manifest, labels: labelsOf(config, record.id) };
}

// Both documents were looked into closely before they were stored, and are what they were then: their digests say so.
// So only what is asked for is read of them.

function layersOf(manifest: Uint8Array, digest: Digest): Pick<Descriptor, "digest" | "size">[] {
  const layers = parseJson(manifest, `manifest ${digest}`).at("layers").array();
  return layers.map((layer) => ({
    digest: parseDigest(layer.at("digest").string()),
    size: layer.at("size").integer(),
  }));
}

function labelsOf(config: Uint8Array, id: Digest): Record<string, string> {
  const own = parseJson(config, `image config ${id}`).at("config");
  return own.optional((it) => it.at("Labels").optional((labels) => labels.stringMap())) ?? {};
}

function tellUpToDate(local: Local, { manifest, labels }: WholeImage, name: Reference, report: Report): void {
  report({ status: `Pulling from ${name.path}`, id: name.tag ?? "" });
  appendEvent(local.state, pullEvent(name, labels));
  ringBell(local.state.instance);
  report({ status: `Digest: ${manifest}` });
  report({ status: statusOf(name, { isNewer: false }) });
}

/** Whether every layer's blob is here with its size, and all of them are unpacked. */
export function hasLayers(
  local: Local,
  record: ImageRecord,
  layers: readonly Pick<Descriptor, "digest" | "size">[],
): boolean {
  if (!layers.every(({ digest, size }) => local.content.trySizeOf(digest) === size)) return false;
  const top = record.chainIds.at(-1);
  return top === undefined || isCommitted(local.state, top);
}

export function statusOf(name: Reference, { isNewer }: { isNewer: boolean }): string {
  const words = isNewer ? "Downloaded newer image for" : "Image is up to date for";
  return `Status: ${words} ${familiarForm(name)}`;
}

/** As Docker has it: about the name, not about the image. */
export function pullEvent(name: Reference, labels: ImageConfig["config"]["Labels"]): NewEvent {
  const Attributes = { ...labels, name: familiarName(name) };
  return { Type: "image", Action: "pull", Actor: { ID: familiarForm(name), Attributes } };
}
