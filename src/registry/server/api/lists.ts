/** Tags of a repository, repositories of the registry, and Docker's search. */
import { failure } from "../failures.ts";
import type { RepositoryName } from "../names.ts";
import type { Call, Registry } from "../registry.ts";

/** Entries of a page when the client does not say, and at most. */
const defaultPage = 100;
const largestPage = 10_000;
const searchPage = 25;
const largestSearchPage = 100;

/** `GET /v2/<name>/tags/list` */
export async function listTags(registry: Registry, call: Call, name: RepositoryName): Promise<Response> {
  const last = call.query.get("last") ?? "";
  const count = countOf(call.query);
  const tags =
    (await registry.upstream?.tags(name, last, count ?? largestPage)) ??
    registry.store.tags(name, last, count ?? largestPage);
  if (tags.length === 0 && !registry.store.has(name)) {
    throw failure("NAME_UNKNOWN", "repository name not known to registry", { name });
  }
  return paged(`/v2/${name}/tags/list`, { name, tags }, count ?? largestPage, tags);
}

/** `GET /v2/_catalog`: who may ask sees all names. */
export async function listCatalog(registry: Registry, call: Call): Promise<Response> {
  const count = countOf(call.query) ?? defaultPage;
  const found = registry.store.repositories(call.query.get("last") ?? "", count).map(({ name }) => name);
  return paged("/v2/_catalog", { repositories: found }, count, found);
}

/** `GET /v1/search?q=…&n=…&page=…`: what `docker search HOST/TERM` asks. */
export async function search(registry: Registry, call: Call): Promise<Response> {
  const term = (call.query.get("q") ?? "").toLowerCase().slice(0, 255);
  const size = Math.min(countOf(call.query) || searchPage, largestSearchPage);
  const page = Math.max(1, Math.min(Number(call.query.get("page") ?? 1) || 1, 1000));
  const found = registry.store.repositories("", size * page + 1, term);
  const results = found.slice(size * (page - 1), size * page).map(({ name, tags }) => ({
    name,
    description: tags === 1 ? "1 tag" : `${tags} tags`,
    star_count: 0,
    is_official: false,
    is_automated: false,
    is_trusted: false,
  }));
  return Response.json({
    query: term,
    num_results: found.length,
    num_pages: Math.max(1, Math.ceil(found.length / size)),
    page,
    page_size: size,
    results,
  });
}

/** `n` of a query; undefined when it has none. @throws RegistryFailure PAGINATION_NUMBER_INVALID */
function countOf(query: URLSearchParams): number | undefined {
  const text = query.get("n");
  if (text === null) return undefined;
  if (!/^\d{1,9}$/.test(text)) {
    throw failure("PAGINATION_NUMBER_INVALID", "invalid number of results requested", {
      n: text.slice(0, 50),
    });
  }
  return Math.min(Number(text), largestPage);
}

/** A page of a list, with the way to the next one if it is full. */
function paged(path: string, body: object, count: number, entries: readonly string[]): Response {
  const last = entries.at(-1);
  const headers: Record<string, string> = {};
  if (last !== undefined && entries.length === count) {
    headers.Link = `<${path}?${new URLSearchParams({ last, n: String(count) })}>; rel="next"`;
  }
  return Response.json(body, { headers });
}
