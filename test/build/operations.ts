/** davit's steps in the shape in which the oracle prints BuildKit's operations. */
import type {
  BuildPlan,
  FileSource,
  FilesStep,
  RunStep,
  Step,
  StepMount,
} from "../../src/build/dockerfile/stages/model.ts";
import { cleanPath, joinPath } from "../../src/build/dockerfile/text.ts";

/** What would be done, each once; in no order. */
export function operationsOf({ stages }: BuildPlan): unknown[] {
  return stages.flatMap(({ steps }) => steps.flatMap(operations));
}

function operations(step: Step): unknown[] {
  switch (step.kind) {
    case "config":
      return [];
    case "directory":
      return [{ directory: cleanPath(step.path), mode: 0o755, owner: ownerOf(step.user) }];
    case "run":
      return [...cacheDirectories(step), ...script(step), command(step)];
    case "files":
      return [{ copies: step.sources.map((source) => copy(step, source)) }, ...step.sources.flatMap(origin)];
  }
}

function script({ script }: RunStep): unknown[] {
  if (script === undefined) return [];
  return [{ file: `/${script.path.split("/").at(-1)}`, content: script.content, mode: 0o755 }];
}

/** BuildKit makes the directory of a cache with an owner or a mode in an operation of its own. */
function cacheDirectories({ mounts }: RunStep): unknown[] {
  return mounts.filter(hasOwnDirectory).map(({ mode, uid, gid }) => ({
    directory: "/cache",
    mode: mode ?? 0o755,
    owner: [String(uid ?? 0), String(gid ?? 0)],
  }));
}

function hasOwnDirectory({ type, source, mode, uid, gid }: StepMount): boolean {
  return type === "cache" && source === "/" && (mode ?? uid ?? gid) !== undefined;
}

function command(step: RunStep): unknown {
  const secrets = step.mounts.filter(({ type, env }) => type === "secret" && env !== undefined);
  return {
    args: step.arguments,
    env: step.environment.list().sort(),
    cwd: cleanPath(step.workingDirectory),
    user: step.user,
    network: { default: "UNSET", host: "HOST", none: "NONE" }[step.network],
    security: { sandbox: "SANDBOX", insecure: "INSECURE" }[step.security],
    mounts: step.mounts.filter(({ type, path }) => type !== "secret" || path !== undefined).map(mountOf),
    secrets: secrets.map(({ env, id, required }) => `${env}=${id} ${!required}`),
    devices: step.devices.map(({ name, required }) => `${name} ${!required}`),
  };
}

function mountOf(mount: StepMount): unknown {
  const { type, path, source, readOnly, id, required, mode, uid, gid } = mount;
  // No name means the default agent there.
  const name = type === "ssh" && id === "default" ? "" : id;
  const access = (usual: number) => [name, !required, mode ?? usual, uid ?? 0, gid ?? 0];
  const common = { selector: "", readonly: false, type: type.toUpperCase() };
  switch (type) {
    case "secret":
      return { ...common, dest: path, secret: access(0o400) };
    case "ssh":
      return { ...common, dest: path ?? "/run/buildkit/ssh_agent.0", ssh: access(0o600) };
    case "tmpfs":
      return { ...common, dest: path, readonly: readOnly, size: mount.size };
    case "bind":
      return { ...common, dest: path, readonly: readOnly, selector: source === "/" ? "" : source };
    case "cache": {
      const selector = hasOwnDirectory(mount) ? "/cache" : source === "/" ? "" : source;
      const sharing = (mount.sharing ?? "shared").toUpperCase();
      return { ...common, dest: path, readonly: readOnly, selector, cache: `/${id}`, sharing };
    }
  }
}

function copy(step: FilesStep, source: FileSource): unknown {
  const { text, number } = modeOf(step.chmod);
  const isPath = source.kind === "path";
  return {
    src: sourcePath(source),
    dest: withSlash(step.destination),
    owner: ownerOf(step.chown),
    mode: number,
    modeText: text,
    unpack: source.kind === "path" || source.kind === "url" ? source.unpack : false,
    wildcard: isPath,
    include: isPath && source.pattern !== undefined ? [source.pattern] : null,
    exclude: step.exclude.length > 0 ? step.exclude : null,
    required: isPath && source.required !== undefined ? [source.required] : null,
  };
}

function sourcePath(source: FileSource): string {
  switch (source.kind) {
    case "path":
      return cleanPath(source.path);
    case "inline":
      return joinPath("/", source.name);
    case "url":
      return joinPath("/", source.fileName);
    case "git":
      return "/";
  }
}

/** What a copy takes from elsewhere or brings with it. */
function origin(source: FileSource): unknown[] {
  if (source.kind === "inline") {
    return [{ file: joinPath("/", source.name), content: source.content, mode: 0o644 }];
  }
  if (source.kind === "url") {
    return [{ url: source.url, name: source.fileName, checksum: source.checksum }];
  }
  if (source.kind !== "git") return [];
  const { remote, ref, subdirectory, checksum, keepGitDirectory, submodules } = source;
  const fragment = subdirectory === "" ? ref : `${ref}:${subdirectory}`;
  return [{ git: remote, fragment, checksum, keep: keepGitDirectory, submodules }];
}

function modeOf(chmod: string): { text: string; number: number } {
  if (chmod === "") return { text: "", number: -1 };
  return /^[0-7]+$/.test(chmod)
    ? { text: "", number: Number.parseInt(chmod, 8) }
    : { text: chmod, number: 0 };
}

/** Clean, but for the slash or the dot at its end. */
function withSlash(path: string): string {
  const clean = cleanPath(path);
  if (path.endsWith("/.")) return clean === "/" ? "/." : `${clean}/.`;
  return path.endsWith("/") && clean !== "/" ? `${clean}/` : clean;
}

function ownerOf(chown: string): string[] | null {
  if (chown === "") return null;
  const at = chown.indexOf(":");
  const [user, group] = at < 0 ? [chown, ""] : [chown.slice(0, at), chown.slice(at + 1)];
  const id = (text: string) => (text === "root" ? "0" : text);
  return [id(user), id(group)];
}
