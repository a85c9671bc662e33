/** Something from elsewhere that went into a build, and what it was known by. */
export interface Material {
  /** `https://host/repo.git#ref`, or the URL of a file. */
  readonly uri: string;
  /** Hex by algorithm: `sha256`; `sha1` of a git commit. */
  readonly digest: Readonly<Record<string, string>>;
}

/** @param commit hex */
export function gitMaterial(
  { remote, ref }: { readonly remote: string; readonly ref: string },
  commit: string,
): Material {
  const algorithm = commit.length > 40 ? "sha256" : "sha1";
  return { uri: `${withoutSecrets(remote)}${ref === "" ? "" : `#${ref}`}`, digest: { [algorithm]: commit } };
}

/** A user and password that a URL holds are nobody else's business. */
function withoutSecrets(remote: string): string {
  return remote.replace(/^([a-z+]+:\/\/)[^/@]*@/i, "$1");
}
