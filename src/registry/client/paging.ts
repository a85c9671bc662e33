/** Lists that come page by page, with the next page's address in a Link header. distribution-spec, "Listing tags". */
import { InvalidParameter } from "../../core/errors.ts";
import { type JsonReader, parseJson } from "../../images/json.ts";
import { readWhole } from "./documents.ts";
import { type Patience, withPatience } from "./patience.ts";
import { isSameOrigin, type Session } from "./session.ts";

const largestPage = 4 * 1024 * 1024;
/** A registry that goes on for longer than this has no end. */
const mostPages = 2_000;

export interface PageRequest {
  target: string;
  scopes: readonly string[];
  accept: string;
  patience: Patience;
  signal?: AbortSignal | undefined;
  /** Statuses beside 200 that mean "nothing". */
  empty?: readonly number[];
}

export interface Page {
  readonly bytes: Uint8Array;
  readonly json: JsonReader;
  readonly headers: Headers;
}

/** @throws RequestFailure; InvalidParameter when the pages lead to another host, in a circle, or have no end. */
export async function* pages(session: Session, request: PageRequest): AsyncGenerator<Page> {
  const { scopes, accept, patience, signal, empty = [] } = request;
  const seen = new Set<string>();
  let target: string | URL = request.target;
  for (;;) {
    const answer = await withPatience(patience, signal, () =>
      session.request({
        method: "GET",
        target,
        scopes,
        headers: { Accept: accept },
        expect: [200, ...empty],
        signal,
      }),
    );
    if (answer.status !== 200) return await answer.discard();
    const what = `the list of ${session.endpoint.base.host}`;
    const bytes = await readWhole(answer, largestPage, what);
    yield { bytes, json: parseJson(bytes, what), headers: answer.headers };
    const link = nextLink(answer.headers.get("link"));
    if (link === undefined) return;
    const next = URL.parse(link, answer.url.href);
    if (next === null || !isSameOrigin(next, session.endpoint.base)) {
      throw new InvalidParameter(`${what} goes on at another host; refused`);
    }
    if (seen.has(next.href) || seen.size >= mostPages) throw new InvalidParameter(`${what} has no end`);
    seen.add(next.href);
    target = next;
  }
}

/** The target of `<…>; rel="next"`. RFC 8288. */
function nextLink(header: string | null): string | undefined {
  for (const [, target, parameters] of (header ?? "").matchAll(/<([^>]*)>([^,<]*)/g)) {
    if (/;\s*rel\s*=\s*"?next"?/i.test(parameters ?? "")) return target;
  }
  return undefined;
}
