/** `search`: Docker's index API, version 1: `/v1/search?q=…&n=…`. */
import { InvalidParameter, Unavailable } from "../../core/errors.ts";
import type { RegistrySearchItem } from "../../core/objects.ts";
import { type JsonReader, parseJson } from "../../images/json.ts";
import { defaultDomain } from "../../images/references.ts";
import { readWhole } from "./documents.ts";
import { RequestFailure } from "./failures.ts";
import { type Patience, withPatience } from "./patience.ts";
import type { Session } from "./session.ts";
import { typed } from "./translate.ts";

export const defaultLimit = 25;
const mostResults = 100;
const largestAnswer = 4 * 1024 * 1024;

/** A registry's host and the words to look for: `registry.example/busy`, `busy`, `library/busy`. */
export function splitTerm(term: string): { domain: string; words: string } {
  if (term.includes("://")) {
    throw new InvalidParameter(
      `invalid repository name: repository name (${term.slice(0, 255)}) should not contain a scheme`,
    );
  }
  const slash = term.indexOf("/");
  const first = term.slice(0, Math.max(slash, 0));
  const isHost = slash > 0 && (first === "localhost" || /[.:]/.test(first));
  const domain = isHost && first !== "index.docker.io" ? first : defaultDomain;
  const words = isHost ? term.slice(slash + 1) : term;
  return { domain, words: domain === defaultDomain ? words.replace(/^library\//, "") : words };
}

/** @param limit 1 to 100. @throws InvalidParameter, Unavailable */
export async function search(
  session: Session,
  words: string,
  limit: number,
  patience: Patience,
  signal: AbortSignal | undefined,
): Promise<RegistrySearchItem[]> {
  if (!Number.isInteger(limit) || limit < 1 || limit > mostResults) {
    throw new InvalidParameter(`limit ${limit} is outside the range of [1, ${mostResults}]`);
  }
  const query = new URLSearchParams({ q: words, n: String(limit) });
  const what = `the search results of ${session.endpoint.base.host}`;
  try {
    const bytes = await withPatience(patience, signal, async () => {
      const answer = await session.request({
        method: "GET",
        target: `v1/search?${query}`,
        scopes: ["registry:catalog:search"],
        headers: { Accept: "application/json", "X-Docker-Token": "true" },
        expect: [200],
        signal,
      });
      return await readWhole(answer, largestAnswer, what);
    });
    const results =
      parseJson(bytes, what)
        .at("results")
        .optional((value) => value.array()) ?? [];
    return results.slice(0, limit).map(parseItem);
  } catch (error) {
    if (!(error instanceof RequestFailure)) throw error;
    if (error.status === undefined || error.status === 401) throw typed(error);
    throw new Unavailable(`Unexpected status code ${error.status}`, { cause: error });
  }
}

function parseItem(json: JsonReader): RegistrySearchItem {
  const text = (key: string) => json.at(key).optional((value) => value.string()) ?? "";
  const flag = (key: string) => json.at(key).optional((value) => value.boolean()) ?? false;
  return {
    name: text("name"),
    description: text("description"),
    star_count: json.at("star_count").optional((value) => value.integer()) ?? 0,
    is_official: flag("is_official"),
    is_automated: flag("is_automated"),
  };
}
