/** Pages for people: repositories, their tags, a tag's layers. No script, nothing from elsewhere, all text escaped. */
import { isIndexType } from "../../images/manifest.ts";
import { failure } from "./failures.ts";
import { escapeHtml, type Html, html, join, sizeText } from "./html.ts";
import { type ManifestReference, parseManifestDocument } from "./manifest-document.ts";
import type { RepositoryName, TagName } from "./names.ts";
import type { Call, Registry } from "./registry.ts";
import type { StoredManifest } from "./storage/store.ts";

const pageSize = 100;

/** The registry, one repository, or one tag of it. @throws RegistryFailure NAME_UNKNOWN, MANIFEST_UNKNOWN */
export function page(
  registry: Registry,
  call: Call,
  name: RepositoryName | undefined,
  tag: TagName | undefined,
): Response {
  if (name === undefined) return htmlPage("Repositories", repositoriesPage(registry, call));
  if (!registry.store.has(name)) {
    throw failure("NAME_UNKNOWN", "repository name not known to registry", { name });
  }
  if (tag === undefined) return htmlPage(name, repositoryPage(registry, call, name));
  const manifest = registry.store.manifest(name, tag);
  if (manifest === undefined) throw failure("MANIFEST_UNKNOWN", "manifest unknown", { name, tag });
  return htmlPage(`${name}:${tag}`, tagPage(registry, name, tag, manifest));
}

function repositoriesPage(registry: Registry, call: Call): Html {
  const last = call.query.get("last") ?? "";
  const found = registry.store.repositories(last, pageSize);
  const rows = found.map(
    ({ name, tags, bytes }) =>
      html`<tr><td><a href="/repositories/${name}">${name}</a></td><td>${String(tags)}</td><td>${sizeText(bytes)}</td></tr>`,
  );
  const head = ["Repository", "Tags", "Size"];
  return html`<h1>Repositories</h1>
<p>${sizeText(registry.store.totalBytes())} in all, each blob counted once.</p>
${table(head, rows)}${nextLink("/", found.length, found.at(-1)?.name)}`;
}

function repositoryPage(registry: Registry, call: Call, name: RepositoryName): Html {
  const tags = registry.store.tags(name, call.query.get("last") ?? "", pageSize);
  const rows = tags.map((tag) => {
    const manifest = registry.store.manifest(name, tag);
    return html`<tr><td><a href="/repositories/${name}:${tag}">${tag}</a></td><td>${kindOf(manifest)}</td><td>${contentSize(manifest)}</td><td><code>${manifest?.digest ?? ""}</code></td></tr>`;
  });
  return html`${crumbs(name)}<h1>${name}</h1>
<p>${sizeText(registry.store.repositoryBytes(name))} in all. <code>docker pull ${call.request.headers.get("host") ?? ""}/${name}</code></p>
${table(["Tag", "Kind", "Size", "Digest"], rows)}${nextLink(`/repositories/${name}`, tags.length, tags.at(-1))}`;
}

function tagPage(registry: Registry, name: RepositoryName, tag: TagName, manifest: StoredManifest): Html {
  const top = html`${crumbs(name)}<h1>${name}:${tag}</h1><p><code>${manifest.digest}</code><br>${manifest.mediaType}</p>`;
  if (!isIndexType(manifest.mediaType)) return html`${top}${layersOf(manifest)}`;
  const parts = referencesOf(manifest).map((reference) => {
    const child = registry.store.manifest(name, reference.digest);
    const content = child === undefined ? html`<p>not here</p>` : layersOf(child);
    return html`<h2><code>${reference.digest}</code></h2>${content}`;
  });
  return html`${top}${join(parts)}`;
}

function layersOf(manifest: StoredManifest): Html {
  const rows = referencesOf(manifest).map(
    ({ digest, mediaType, size }) =>
      html`<tr><td><code>${digest}</code></td><td>${mediaType}</td><td>${sizeText(size)}</td></tr>`,
  );
  return table(["Digest", "Media type", "Size"], rows);
}

/** What a stored manifest refers to; nothing for one that a cache took without looking inside. */
function referencesOf(manifest: StoredManifest): readonly ManifestReference[] {
  return parseManifestDocument(manifest.bytes, manifest.mediaType, manifest.digest).references;
}

function kindOf(manifest: StoredManifest | undefined): string {
  if (manifest === undefined) return "missing";
  return isIndexType(manifest.mediaType) ? "several platforms" : "image";
}

/** Of an image its config and layers; of an index the manifests only. */
function contentSize(manifest: StoredManifest | undefined): string {
  if (manifest === undefined) return "";
  return sizeText(referencesOf(manifest).reduce((sum, { size }) => sum + size, 0));
}

function crumbs(name: RepositoryName): Html {
  return html`<nav><a href="/">Repositories</a> / <a href="/repositories/${name}">${name}</a></nav>`;
}

function table(heads: readonly string[], rows: readonly Html[]): Html {
  if (rows.length === 0) return html`<p>Nothing here yet.</p>`;
  const head = heads.map((text) => html`<th scope="col">${text}</th>`);
  return html`<div class="scroll"><table><thead><tr>${join(head)}</tr></thead><tbody>
${join(rows)}</tbody></table></div>`;
}

function nextLink(path: string, count: number, last: string | undefined): Html {
  if (count < pageSize || last === undefined) return html``;
  return html`<p><a href="${path}?${new URLSearchParams({ last }).toString()}">More</a></p>`;
}

const style = `:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1rem;overflow-wrap:anywhere}
a{color:LinkText}code{font-size:.85em;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.4rem .8rem .4rem 0;border-bottom:1px solid color-mix(in srgb,CanvasText 20%,Canvas);vertical-align:top}`;

const styleHash = new Bun.CryptoHasher("sha256").update(style).digest("base64");

function htmlPage(title: string, body: Html): Response {
  const text = `<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)}</title>
<style>${style}</style></head><body><main>${body.text}</main></body></html>`;
  return new Response(text, {
    headers: {
      "Content-Type": "text/html;charset=utf-8",
      "Content-Security-Policy": `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
      "Cache-Control": "no-store",
    },
  });
}
