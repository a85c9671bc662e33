/** Images over HTTP. Engine API reference, "Image". */

import { InvalidParameter } from "../../core/errors.ts";
import type * as api from "../../core/objects.ts";
import type { Images, ProgressMessage, PullOptions, PushOptions } from "../../engine/engine.ts";
import { authHeader } from "./authentication.ts";
import { encodeFilters } from "./containers.ts";
import { errorOfStatus } from "./failures.ts";
import { jsonLines } from "./lines.ts";
import { encodePlatform, encodePlatforms } from "./platforms.ts";
import { imageSegment, type RequestOptions, type Transport } from "./transport.ts";

/** @param scratch a directory for what is exported to be looked at */
export function remoteImages(transport: Transport, scratch: string): Images {
  const path = (reference: string, verb: string): string => `/images/${imageSegment(reference)}/${verb}`;

  return {
    async list(options = {}) {
      type Row = Omit<api.ImageSummary, "RepoTags" | "RepoDigests"> & {
        RepoTags: string[] | null;
        RepoDigests: string[] | null;
      };
      if (options.manifests) transport.require("1.47", "--tree");
      const rows = await transport.json<Row[]>("GET", "/images/json", {
        query: {
          all: options.all,
          digests: options.digests,
          "shared-size": options.sharedSize || undefined,
          manifests: options.manifests || undefined,
          filters: encodeFilters(options.filters),
        },
      });
      return rows.map((row) => ({
        ...row,
        RepoTags: withoutPlaceholder(row.RepoTags),
        RepoDigests: withoutPlaceholder(row.RepoDigests),
      }));
    },

    async inspect(reference, { platform, manifests = false } = {}) {
      if (platform !== undefined) transport.require("1.49", "--platform");
      if (manifests) transport.require("1.48", "manifests");
      return await transport.json("GET", path(reference, "json"), {
        query: { platform: encodePlatform(platform), manifests: manifests ? "1" : undefined },
      });
    },

    async history(reference, { platform } = {}) {
      if (platform !== undefined) transport.require("1.48", "--platform");
      return await transport.json("GET", path(reference, "history"), {
        query: { platform: encodePlatform(platform) },
      });
    },

    pull: (reference, options = {}) => pull(transport, reference, options),
    push: (reference, options = {}) => push(transport, reference, options),

    search: (term, options = {}) =>
      transport.json("GET", "/images/search", {
        query: { term, limit: options.limit || undefined, filters: encodeFilters(options.filters) },
        headers: authHeader(options.auth),
      }),

    prune: (filters) =>
      transport.json("POST", "/images/prune", { query: { filters: encodeFilters(filters) } }),

    // Not told by an Engine API: the images are exported, and read on this side.
    async layers(reference, { platform } = {}) {
      const { exportedLayers } = await import("../../engine/transports/exported.ts");
      return await exportedLayers(this, reference, { platform, scratch });
    },
    async diff(from, to, { platform } = {}) {
      const { exportedDifferences } = await import("../../engine/transports/exported.ts");
      return await exportedDifferences(this, from, to, { platform, scratch });
    },

    tag(source, target) {
      const { repository, tag } = splitTag(target);
      return transport.send("POST", path(source, "tag"), {
        query: { repo: repository, tag: tag || undefined },
      });
    },

    async remove(reference, options = {}) {
      const platforms = options.platforms ?? [];
      if (platforms.length > 0) transport.require("1.50", "--platform");
      return await transport.json("DELETE", `/images/${imageSegment(reference)}`, {
        query: {
          force: options.force,
          noprune: options.noPrune,
          platforms: encodePlatforms(platforms),
        },
      });
    },

    load: (archive, options = {}) => {
      const platforms = options.platforms ?? [];
      if (platforms.length > 0) transport.require("1.48", "--platform");
      return progress(transport, "/images/load", {
        query: { quiet: options.quiet ?? false, platform: encodePlatforms(platforms) },
        body: archive,
        signal: options.signal,
      });
    },

    save(references, options = {}) {
      const platforms = options.platforms ?? [];
      if (platforms.length > 0) transport.require("1.48", "--platform");
      return transport.stream("GET", "/images/get", {
        query: { names: references, platform: encodePlatforms(platforms) },
      });
    },

    import(archive, request) {
      const { repository, tag } = splitTag(request.reference ?? "");
      return progress(transport, "/images/create", {
        query: {
          fromSrc: "-",
          repo: repository || undefined,
          tag: tag || undefined,
          message: request.message || undefined,
          changes: request.changes ?? [],
          platform: request.platform || undefined,
        },
        body: archive,
      });
    },
  };
}

/** A server pulls as it can: `lazy` is davit's own, and an answer that has ended is an image that is durable. */
function pull(
  transport: Transport,
  reference: string,
  options: PullOptions,
): AsyncGenerator<ProgressMessage> {
  const { repository, tag, digest } = splitReference(reference);
  if (options.all && (tag !== "" || digest !== "")) {
    throw new InvalidParameter("tag can't be used with --all-tags/-a");
  }
  return progress(transport, "/images/create", {
    query: {
      fromImage: repository,
      tag: options.all ? undefined : digest || tag || "latest",
      platform: options.platform?.toLowerCase() || undefined,
    },
    headers: authHeader(options.auth),
    signal: options.signal,
  });
}

function push(
  transport: Transport,
  reference: string,
  options: PushOptions,
): AsyncGenerator<ProgressMessage> {
  const { repository, tag, digest } = splitReference(reference);
  if (digest !== "") throw new InvalidParameter("cannot push a digest reference");
  if (options.platform !== undefined) transport.require("1.46", "--platform");
  return progress(transport, `/images/${imageSegment(repository)}/push`, {
    query: {
      tag: options.all ? undefined : tag || "latest",
      platform: encodePlatform(options.platform),
    },
    headers: authHeader(options.auth),
    signal: options.signal,
  });
}

/** The messages of a long request; one that carries an error is thrown, as a local failure would be. */
async function* progress(
  transport: Transport,
  path: string,
  options: RequestOptions,
): AsyncGenerator<ProgressMessage> {
  for await (const message of jsonLines<ProgressMessage>(transport.stream("POST", path, options))) {
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) throw errorOfStatus(message.errorDetail?.code ?? 500, failure);
    yield message;
  }
}

/** Servers before API 1.43 list an image without names as `<none>:<none>` and `<none>@<none>`. */
function withoutPlaceholder(names: string[] | null): string[] {
  return (names ?? []).filter((name) => name !== "<none>:<none>" && name !== "<none>@<none>");
}

/** A colon after the last slash begins the tag. */
function splitTag(reference: string): { repository: string; tag: string } {
  const colon = reference.indexOf(":", reference.lastIndexOf("/") + 1);
  if (colon < 0) return { repository: reference, tag: "" };
  return { repository: reference.slice(0, colon), tag: reference.slice(colon + 1) };
}

/** `name[:tag][@digest]`; empty for what is not there. */
function splitReference(reference: string): { repository: string; tag: string; digest: string } {
  const [name = "", digest = ""] = reference.split("@", 2);
  return { ...splitTag(name), digest };
}
