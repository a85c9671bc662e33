/** Command lines of Buildah, for when the executable is called `buildah`: `ln -s davit buildah`. */

/** Buildah's global flags that have a value; those that mean something here, with our name for them. */
const withValue: Readonly<Record<string, string | undefined>> = {
  root: "data-root",
  runroot: "exec-root",
  "storage-driver": "storage-driver",
  "storage-opt": undefined,
  "log-level": undefined,
  "registries-conf": undefined,
  "registries-conf-dir": undefined,
  "short-name-alias-conf": undefined,
  "userns-uid-map": undefined,
  "userns-gid-map": undefined,
  "cgroup-manager": undefined,
  "default-mounts-file": undefined,
};

const drivers: Readonly<Record<string, string>> = { overlay: "overlay2" };

/** Our own way to write what `buildah WORDS` means. Global flags of ours stay what they are. */
export function wordsOfBuildah(words: readonly string[]): string[] {
  const global: string[] = [];
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--version" || word === "-v") return ["--version"];
    if (word === "help") return [...global, "help", "buildah", ...rest];
    if (!word.startsWith("--")) return [...global, "buildah", word, ...rest];
    if (word === "--debug") continue;
    const equals = word.indexOf("=");
    const name = word.slice(2, equals < 0 ? undefined : equals);
    if (!Object.hasOwn(withValue, name)) {
      global.push(word);
      continue;
    }
    const value = equals < 0 ? (rest.shift() ?? "") : word.slice(equals + 1);
    const own = withValue[name];
    if (own !== undefined) global.push(`--${own}`, drivers[value] ?? value);
  }
  return [...global, "buildah"];
}
