/** Sources of ADD that are git repositories: `https://host/repo.git#ref:dir?…`, `git@host:repo`, `git://…`. */
import { LineFault } from "../errors.ts";
import { joinPath, parseBool, quote } from "../text.ts";

/** What a git URL says; what it does not say is undefined. */
export interface GitReference {
  readonly remote: string;
  readonly ref: string;
  readonly subdirectory: string;
  readonly checksum: string;
  readonly keepGitDirectory: boolean | undefined;
  readonly submodules: boolean | undefined;
  readonly fetchByCommit: boolean;
}

const protocols = ["http", "https", "ssh", "git"];
const scpStyle = /^([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s;

interface Parts {
  readonly remote: string;
  readonly query: string;
  readonly fragment: string;
}

/**
 * Undefined when the source is no git repository: a path, or a URL of something else.
 * @throws LineFault for a repository with a query that means nothing
 */
export function parseGitReference(source: string): GitReference | undefined {
  const parts = splitUrl(source);
  if (parts === undefined) return undefined;
  const colon = parts.fragment.indexOf(":");
  const subdirectory = colon < 0 ? "" : joinPath("/", parts.fragment.slice(colon + 1)).slice(1);
  const draft: Draft = {
    remote: parts.remote,
    ref: colon < 0 ? parts.fragment : parts.fragment.slice(0, colon),
    subdirectory,
    checksum: "",
    keepGitDirectory: undefined,
    submodules: undefined,
    fetchByCommit: false,
  };
  readQuery(draft, new URLSearchParams(parts.query));
  return draft;
}

type Draft = { -readonly [Key in keyof GitReference]: GitReference[Key] };

function splitUrl(source: string): Parts | undefined {
  if (/^\.\.?\//.test(source)) return undefined;
  const [, written] = /^([a-zA-Z0-9]+):\/\//.exec(source) ?? [];
  if (written === undefined) return splitScpStyle(source);
  const protocol = written.toLowerCase();
  if (!protocols.includes(protocol)) return undefined;
  const [, beforeFragment = "", , fragment = ""] = /^([^#]*)(#(.*))?$/s.exec(source) ?? [];
  const question = beforeFragment.indexOf("?");
  const address = question < 0 ? beforeFragment : beforeFragment.slice(0, question);
  const isHttp = protocol === "http" || protocol === "https";
  if (!URL.canParse(address) || (isHttp && !address.endsWith(".git"))) return undefined;
  return {
    remote: protocol + address.slice(written.length),
    query: question < 0 ? "" : beforeFragment.slice(question + 1),
    fragment: decoded(fragment),
  };
}

function splitScpStyle(source: string): Parts | undefined {
  const [, user, host, path, query = "", fragment = ""] = scpStyle.exec(source) ?? [];
  return user === undefined ? undefined : { remote: `${user}@${host}:${path}`, query, fragment };
}

function decoded(fragment: string): string {
  try {
    return decodeURIComponent(fragment);
  } catch (error) {
    // A percent sign that stands for itself.
    if (error instanceof URIError) return fragment;
    throw error;
  }
}

function readQuery(draft: Draft, query: URLSearchParams): void {
  let tag = "";
  let branch = "";
  for (const key of new Set(query.keys())) {
    const values = query.getAll(key);
    const [value = ""] = values;
    if (values.length > 1) throw new LineFault(`query ${quote(key)} has multiple values`);
    const mayBeEmpty = ["submodules", "keep-git-dir", "fetch-by-commit"].includes(key);
    if (value === "" && !mayBeEmpty) throw new LineFault(`query ${quote(key)} has no value`);
    switch (key) {
      case "ref":
        draft.ref = agreeing("ref", draft.ref, value);
        break;
      case "tag":
        tag = value;
        break;
      case "branch":
        branch = value;
        break;
      case "subdir":
        draft.subdirectory = agreeing("subdir", draft.subdirectory, value);
        break;
      case "checksum":
      case "commit":
        draft.checksum = value;
        break;
      case "keep-git-dir":
        draft.keepGitDirectory = boolean(key, value);
        break;
      case "submodules":
        draft.submodules = boolean(key, value);
        break;
      case "fetch-by-commit":
        draft.fetchByCommit = boolean(key, value);
        break;
      case "mtime":
        if (value !== "checkout" && value !== "commit") {
          throw new LineFault(`invalid mtime value: ${quote(value)} (must be "checkout" or "commit")`);
        }
        break;
      default:
        throw new LineFault(`unexpected query ${quote(key)}`);
    }
  }
  if (tag !== "") draft.ref = agreeing("ref", draft.ref, withPrefix("refs/tags/", tag));
  if (branch === "") return;
  if (tag !== "") throw new LineFault("branch conflicts with tag");
  draft.ref = agreeing("ref", draft.ref, withPrefix("refs/heads/", branch));
}

function agreeing(what: string, before: string, value: string): string {
  if (before !== "" && before !== value) {
    throw new LineFault(`${what} conflicts: ${quote(before)} vs ${quote(value)}`);
  }
  return value;
}

function withPrefix(prefix: string, name: string): string {
  return name.startsWith(prefix) ? name : prefix + name;
}

function boolean(key: string, value: string): boolean {
  const parsed = value === "" ? true : parseBool(value);
  if (parsed === undefined) throw new LineFault(`invalid ${key} value: ${quote(value)}`);
  return parsed;
}
