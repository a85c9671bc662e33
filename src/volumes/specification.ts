/** Reads `-v` strings and `--mount` objects by Docker's rules, and refuses what Docker refuses in its words. */

import { InvalidParameter, messageOf, NotImplemented } from "../core/errors.ts";
import type { Mount } from "../core/objects.ts";
import { normalize } from "../core/paths.ts";
import type { PlannedMount } from "./plan.ts";

const readWriteModes = new Set(["rw", "ro"]);
const labelModes = new Set(["z", "Z"]);
const propagations = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);
const copyModes = new Set(["nocopy"]);
const consistencyModes = new Set(["default", "consistent", "cached", "delegated"]);
const modeKinds = [readWriteModes, labelModes, propagations, copyModes, consistencyModes];

/** A mount as it was asked for, before volumes are made and named. */
export interface MountSpecification {
  mount: PlannedMount;
  /** `Mode` for inspect: the third part of a `-v` string. */
  mode: string;
  /** For a volume: how to make it if it is not there. */
  volume: { driver: string; labels: Record<string, string>; options: Record<string, string> };
}

function isMode(mode: string): boolean {
  if (mode === "") return true;
  const options = mode.split(",");
  return (
    options.every((option) => modeKinds.some((kind) => kind.has(option))) &&
    modeKinds.every((kind) => options.filter((option) => kind.has(option)).length <= 1)
  );
}

function checkTarget(target: string): string {
  if (target === "") throw new InvalidParameter("field Target must not be empty");
  // The kernel takes no longer path, and a NUL would cut it short.
  if (target.length > 4095 || target.includes("\0")) throw new InvalidParameter("invalid mount path");
  if (cleanPath(target) === "/") {
    throw new InvalidParameter("invalid specification: destination can't be '/'");
  }
  checkAbsolute(target);
  return cleanPath(target);
}

function checkAbsolute(path: string): void {
  if (!path.startsWith("/")) {
    throw new InvalidParameter(`invalid mount path: '${path}' mount path must be absolute`);
  }
}

/** `/a/../b/` becomes `/b`. */
function cleanPath(path: string): string {
  const normal = normalize(path);
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}

const plain: PlannedMount = {
  type: "bind",
  source: "",
  destination: "",
  readonly: false,
  propagation: "",
  recursive: true,
  recursiveReadonly: "if-possible",
  createSource: false,
  volume: "",
  anonymous: false,
  subpath: "",
  copyUp: false,
  options: [],
};

/** Reads `[source:]destination[:mode]`. @throws InvalidParameter */
export function parseBind(raw: string, volumeDriver: string): MountSpecification {
  const invalid = `invalid volume specification: '${raw}'`;
  const parts = raw.split(":");
  const [first = "", second = "", third = ""] = parts;
  if (first === "" || parts.length > 3) throw new InvalidParameter(invalid);
  if (parts.length === 2 && isMode(second)) throw new InvalidParameter(invalid);
  if (!isMode(third)) throw new InvalidParameter(`invalid mode: ${third}`);
  const [source, target] = parts.length === 1 ? ["", first] : [first, second];
  const options = third.split(",");
  const propagation = options.find((option) => propagations.has(option));
  const readonly = options.includes("ro");
  try {
    const destination = checkTarget(target);
    if (source.startsWith("/")) {
      if (options.includes("nocopy")) throw mountFault("bind", "field VolumeOptions must not be specified");
      return {
        mount: {
          ...plain,
          source: cleanPath(source),
          destination,
          readonly,
          propagation: propagation ?? "rprivate",
          createSource: true,
        },
        mode: third,
        volume: { driver: "", labels: {}, options: {} },
      };
    }
    if (propagation !== undefined) throw mountFault("volume", "field BindOptions must not be specified");
    return {
      mount: {
        ...plain,
        type: "volume",
        volume: source,
        anonymous: source === "",
        destination,
        readonly,
        copyUp: !options.includes("nocopy"),
      },
      mode: third,
      volume: { driver: volumeDriver, labels: {}, options: {} },
    };
  } catch (error) {
    const message = messageOf(error);
    const type = source.startsWith("/") ? "bind" : "volume";
    throw new InvalidParameter(
      `${invalid}: ${message.startsWith("invalid mount config") ? message : mountFault(type, message).message}`,
      { cause: error },
    );
  }
}

/** A VOLUME of an image, or `-v destination`. The name is never read as more than a path. @throws InvalidParameter */
export function parseVolumeTarget(target: string, volumeDriver: string): MountSpecification {
  return {
    mount: {
      ...plain,
      type: "volume",
      anonymous: true,
      // A relative one is meant from the image's root.
      destination: checkTarget(target.startsWith("/") ? target : `/${target}`),
      copyUp: true,
    },
    mode: "",
    volume: { driver: volumeDriver, labels: {}, options: {} },
  };
}

function mountFault(type: string, message: string): InvalidParameter {
  return new InvalidParameter(`invalid mount config for type "${type}": ${message}`);
}

/**
 * Checks a `--mount` object.
 * @param sourceExists tells whether a bind's source is there.
 * @throws InvalidParameter; NotImplemented for types that davit does not have yet.
 */
export function parseMount(mount: Mount, sourceExists: (path: string) => boolean): MountSpecification {
  try {
    return readMount(mount, sourceExists);
  } catch (error) {
    if (error instanceof InvalidParameter) throw mountFault(mount.Type, error.message);
    throw error;
  }
}

function refuse(field: string, value: unknown): void {
  if (value !== undefined && value !== null) {
    throw new InvalidParameter(`field ${field} must not be specified`);
  }
}

function readMount(mount: Mount, sourceExists: (path: string) => boolean): MountSpecification {
  const base: PlannedMount = {
    ...plain,
    destination: checkTarget(mount.Target ?? ""),
    readonly: mount.ReadOnly === true,
  };
  const nothing = { driver: "", labels: {}, options: {} };
  const source = mount.Source ?? "";
  if (source.includes("\0")) throw new InvalidParameter("invalid mount source");
  switch (mount.Type) {
    case "bind": {
      if (source === "") throw new InvalidParameter("field Source must not be empty");
      const propagation = mount.BindOptions?.Propagation || "rprivate";
      if (!propagations.has(propagation)) {
        throw new InvalidParameter(`invalid propagation mode: ${propagation}`);
      }
      refuse("VolumeOptions", mount.VolumeOptions);
      refuse("ImageOptions", mount.ImageOptions);
      refuse("TmpfsOptions", mount.TmpfsOptions);
      checkAbsolute(source);
      const createSource = mount.BindOptions?.CreateMountpoint === true;
      if (!createSource && !sourceExists(source)) {
        throw new InvalidParameter(`bind source path does not exist: ${source}`);
      }
      const bind: PlannedMount = {
        ...base,
        source: cleanPath(source),
        propagation,
        createSource,
        recursive: mount.BindOptions?.NonRecursive !== true,
        recursiveReadonly: recursiveReadonly(mount),
      };
      return { mount: bind, mode: "", volume: nothing };
    }
    case "volume": {
      refuse("BindOptions", mount.BindOptions);
      refuse("ImageOptions", mount.ImageOptions);
      refuse("TmpfsOptions", mount.TmpfsOptions);
      const subpath = mount.VolumeOptions?.Subpath ?? "";
      if (subpath !== "") {
        if (source === "") throw new InvalidParameter("must not set Subpath when using anonymous volumes");
        if (!isLocal(subpath)) {
          throw new InvalidParameter("subpath must be a relative path within the volume");
        }
      }
      return {
        mount: {
          ...base,
          type: "volume",
          volume: source,
          anonymous: source === "",
          subpath,
          copyUp: mount.VolumeOptions?.NoCopy !== true,
        },
        mode: "",
        volume: {
          driver: mount.VolumeOptions?.DriverConfig?.Name ?? "",
          labels: mount.VolumeOptions?.Labels ?? {},
          options: mount.VolumeOptions?.DriverConfig?.Options ?? {},
        },
      };
    }
    case "tmpfs":
      refuse("BindOptions", mount.BindOptions);
      refuse("VolumeOptions", mount.VolumeOptions);
      refuse("ImageOptions", mount.ImageOptions);
      if (source !== "") throw new InvalidParameter("field Source must not be specified");
      return { mount: { ...base, type: "tmpfs", options: tmpfsOf(mount) }, mode: "", volume: nothing };
    case "image":
    case "cluster":
      throw new NotImplemented(`mounts of type "${mount.Type}" are not there yet`);
    default:
      throw new InvalidParameter("mount type unknown");
  }
}

function recursiveReadonly(mount: Mount): PlannedMount["recursiveReadonly"] {
  const options = mount.BindOptions;
  if (options?.ReadOnlyForceRecursive === true) {
    if (options.ReadOnlyNonRecursive === true) {
      throw new InvalidParameter("ReadOnlyForceRecursive and ReadOnlyNonRecursive conflict");
    }
    return "required";
  }
  return options?.ReadOnlyNonRecursive === true || options?.NonRecursive === true ? "no" : "if-possible";
}

/** Relative, and without leaving by `..`, as words; what symlinks do is checked by the kernel when it is mounted. */
function isLocal(path: string): boolean {
  const clean = cleanPath(path);
  return !path.startsWith("/") && !path.includes("\0") && clean !== ".." && !clean.startsWith("../");
}

const tmpfsDefaults = ["noexec", "nosuid", "nodev"];

function tmpfsOf(mount: Mount): string[] {
  const { SizeBytes, Mode, Options } = mount.TmpfsOptions ?? {};
  const options: string[] = [];
  if (Mode !== undefined && Mode !== 0) options.push(`mode=${Mode.toString(8)}`);
  if (SizeBytes !== undefined && SizeBytes !== 0) options.push(`size=${SizeBytes}`);
  for (const option of Options ?? []) {
    if (option.length < 1 || option.length > 2) throw new InvalidParameter("invalid option array length");
    if (option[0] !== "exec" && option[0] !== "noexec") {
      throw new InvalidParameter(`invalid option: ${option[0]}`);
    }
    options.push(option.join("="));
  }
  return mergeTmpfs(options).options;
}

/** Flags that a tmpfs may have, each with the flag that it stands against. */
const tmpfsFlags: Record<string, string> = {
  ro: "rw",
  rw: "ro",
  exec: "noexec",
  noexec: "exec",
  suid: "nosuid",
  nosuid: "suid",
  dev: "nodev",
  nodev: "dev",
  sync: "async",
  async: "sync",
  atime: "noatime",
  noatime: "atime",
  diratime: "nodiratime",
  nodiratime: "diratime",
  relatime: "norelatime",
  norelatime: "relatime",
  strictatime: "nostrictatime",
  nostrictatime: "strictatime",
};
const tmpfsValues = new Set(["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"]);

/** Docker's defaults and what was asked for; of contradictions the last word counts. */
function mergeTmpfs(asked: readonly string[]): { options: string[]; readonly: boolean } {
  const merged = new Map<string, string>();
  for (const option of [...tmpfsDefaults, ...asked]) {
    const [key = "", value] = option.split("=", 2);
    const opposite = tmpfsFlags[option];
    if (opposite !== undefined) {
      merged.delete(opposite);
      merged.set(option, option);
    } else if (value !== undefined && tmpfsValues.has(key)) {
      merged.set(key, option);
    } else {
      const words = option.split("=").map((word) => JSON.stringify(word));
      throw new InvalidParameter(`invalid tmpfs option [${words.join(" ")}]`);
    }
  }
  const readonly = merged.has("ro");
  return { options: [...merged.values()].filter((option) => option !== "ro" && option !== "rw"), readonly };
}

/** Reads one `--tmpfs path[:options]`. @throws InvalidParameter */
export function parseTmpfs(target: string, options: string): PlannedMount {
  const destination = checkTarget(target);
  const { options: merged, readonly } = mergeTmpfs(options === "" ? [] : options.split(","));
  return { ...plain, type: "tmpfs", destination, readonly, options: merged };
}

/** Reads `container[:mode]` of `--volumes-from`. @throws InvalidParameter */
export function parseVolumesFrom(raw: string): { container: string; readonly: boolean } {
  if (raw === "") throw new InvalidParameter("volumes-from specification cannot be an empty string");
  const colon = raw.indexOf(":");
  const [container, mode] = colon < 0 ? [raw, ""] : [raw.slice(0, colon), raw.slice(colon + 1)];
  const options = mode.split(",");
  if (!isMode(mode) || options.some((option) => propagations.has(option) || copyModes.has(option))) {
    throw new InvalidParameter(`invalid mode: ${mode}`);
  }
  return { container, readonly: options.includes("ro") };
}
