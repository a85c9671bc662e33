/** Images over HTTP. Engine API reference, "Image". */

import type * as api from "../../core/objects.ts";
import type { Images, ProgressMessage } from "../../engine/engine.ts";
import { encodeFilters } from "./containers.ts";
import { errorOfStatus } from "./failures.ts";
import { jsonLines } from "./lines.ts";
import { imageSegment, type RequestOptions, type Transport } from "./transport.ts";

export function remoteImages(transport: Transport): Images {
  return {
    async list(options = {}) {
      type Row = Omit<api.ImageSummary, "RepoTags" | "RepoDigests"> & {
        RepoTags: string[] | null;
        RepoDigests: string[] | null;
      };
      const rows = await transport.json<Row[]>("GET", "/images/json", {
        query: { all: options.all, digests: options.digests, filters: encodeFilters(options.filters) },
      });
      return rows.map((row) => ({
        ...row,
        RepoTags: withoutPlaceholder(row.RepoTags),
        RepoDigests: withoutPlaceholder(row.RepoDigests),
      }));
    },

    inspect: (reference) => transport.json("GET", `/images/${imageSegment(reference)}/json`),
    history: (reference) => transport.json("GET", `/images/${imageSegment(reference)}/history`),

    tag(source, target) {
      const { repository, tag } = splitTag(target);
      return transport.send("POST", `/images/${imageSegment(source)}/tag`, {
        query: { repo: repository, tag: tag || undefined },
      });
    },

    remove: (reference, options = {}) =>
      transport.json("DELETE", `/images/${imageSegment(reference)}`, {
        query: { force: options.force, noprune: options.noPrune },
      }),

    load: (archive, options = {}) =>
      progress(transport, "/images/load", {
        query: { quiet: options.quiet ?? false },
        body: archive,
        signal: options.signal,
      }),

    save: (references) => transport.stream("GET", "/images/get", { query: { names: references } }),

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
