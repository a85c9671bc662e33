/**
 * The beginning of a `pull`. Where a name leads to what it led to before, and all of that is here, one question to the
 * registry is enough, and what a download needs is not loaded. Messages are dockerd's.
 */
import type { Digest } from "../../core/ids.ts";
import { configDocument } from "../../images/image.ts";
import { type Descriptor, type ImageConfig, manifestIn } from "../../images/manifest.ts";
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
  config: ImageConfig;
}

/** Undefined where there is more to find out: an image that is not named so, one of several platforms, or damaged. */
function whatIsHere(local: Local, record: ImageRecord, name: Reference): WholeImage | undefined {
  const { manifest } = record;
  if (record.variantOf.length > 0) return undefined;
  const isNamed =
    record.tags.includes(canonicalForm(name)) &&
    record.repoDigests.includes(canonicalForm(withDigest(name, manifest)));
  const [document, config] = [manifest, record.id].map((digest) => local.content.tryRead(digest));
  const layers = document && manifestIn(document)?.layers;
  if (!isNamed || config === undefined || layers === undefined || !hasLayers(local, record, layers)) {
    return undefined;
  }
  return { manifest, config: configDocument(config, `image config ${record.id}`).value };
}

function tellUpToDate(local: Local, { manifest, config }: WholeImage, name: Reference, report: Report): void {
  report({ status: `Pulling from ${name.path}`, id: name.tag ?? "" });
  appendEvent(local.state, pullEvent(name, config));
  ringBell(local.state.instance);
  report({ status: `Digest: ${manifest}` });
  report({ status: statusOf(name, { isNewer: false }) });
}

/** Whether every layer's blob is here with its size, and all of them are unpacked. */
export function hasLayers(local: Local, record: ImageRecord, layers: Iterable<Descriptor>): boolean {
  for (const { digest, size } of layers) {
    if (!local.content.has(digest) || local.content.sizeOf(digest) !== size) return false;
  }
  const top = record.chainIds.at(-1);
  return top === undefined || isCommitted(local.state, top);
}

export function statusOf(name: Reference, { isNewer }: { isNewer: boolean }): string {
  const words = isNewer ? "Downloaded newer image for" : "Image is up to date for";
  return `Status: ${words} ${familiarForm(name)}`;
}

/** As Docker has it: about the name, not about the image. */
export function pullEvent(name: Reference, { config }: ImageConfig): NewEvent {
  const Attributes = { ...config.Labels, name: familiarName(name) };
  return { Type: "image", Action: "pull", Actor: { ID: familiarForm(name), Attributes } };
}
