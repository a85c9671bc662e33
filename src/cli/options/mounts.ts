/** `--volume`, `--mount` and `--tmpfs`. */

import type { Mount } from "../../core/objects.ts";
import { resolve } from "../../core/paths.ts";
import { BadValue, inWords, parseBool, parseBytes } from "../flags/values.ts";
import { splitCsv, toMap } from "./key-values.ts";

export interface Volumes {
  binds: string[];
  /** Anonymous volumes: paths in the container. */
  anonymous: Record<string, Record<string, never>>;
}

/** Splits `-v` values into binds and anonymous volumes; a path that begins with a dot starts at `cwd`. */
export function volumesOf(values: readonly string[], cwd: string): Volumes {
  const volumes: Volumes = { binds: [], anonymous: {} };
  for (const value of new Set(values)) {
    const colon = value.indexOf(":");
    if (colon < 0) {
      volumes.anonymous[value] = {};
      continue;
    }
    const source = value.slice(0, colon);
    const path = source.startsWith(".") ? resolve(cwd, source) : source;
    volumes.binds.push(path + value.slice(colon));
  }
  return volumes;
}

/** `--tmpfs /path[:options]` */
export function tmpfsOf(values: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    values.map((value) => {
      const colon = value.indexOf(":");
      return colon < 0 ? [value, ""] : [value.slice(0, colon), value.slice(colon + 1)];
    }),
  );
}

const types = ["bind", "volume", "tmpfs", "image", "npipe", "cluster"] as const;
const propagations = ["private", "rprivate", "shared", "rshared", "slave", "rslave"] as const;
const classes = ["bind", "volume", "tmpfs", "image"] as const;
type OptionClass = (typeof classes)[number];

/** Reads one `--mount` value: CSV of `key=value`. @throws BadValue in Docker's words */
export function parseMount(text: string, cwd: string): Mount {
  const draft = new MountDraft(cwd);
  for (const field of splitCsv(text)) draft.add(field);
  return draft.finish();
}

class MountDraft {
  readonly #cwd: string;
  readonly #mount: Mount = { Type: "volume", Target: "" };
  /** The classes whose own options were used. */
  readonly #used = new Set<OptionClass>();
  readonly #volumeLabels: string[] = [];
  readonly #driverOptions: string[] = [];

  constructor(cwd: string) {
    this.#cwd = cwd;
  }

  add(field: string): void {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    if (equals < 0 && !["readonly", "ro", "volume-nocopy", "bind-nonrecursive"].includes(key)) {
      throw new BadValue(`invalid field '${field}' must be a key=value pair`);
    }
    const optionClass = classes.find((name) => key.startsWith(`${name}-`));
    this.#set(key, equals < 0 ? "true" : field.slice(equals + 1), field);
    if (optionClass !== undefined) this.#used.add(optionClass);
  }

  #set(key: string, value: string, field: string): void {
    const mount = this.#mount;
    switch (key) {
      case "type":
        mount.Type = oneOf(types, value.toLowerCase(), () => `invalid mount type: ${value}`);
        return;
      case "source":
      case "src":
        mount.Source = value === "." || value.startsWith("./") ? resolve(this.#cwd, value) : value;
        return;
      case "target":
      case "dst":
      case "destination":
        mount.Target = value;
        return;
      case "readonly":
      case "ro":
        mount.ReadOnly = flag(key, value);
        return;
      case "consistency":
        mount.Consistency = value.toLowerCase();
        return;
      case "tmpfs-size":
        mount.TmpfsOptions = { ...mount.TmpfsOptions, SizeBytes: size(key, value) };
        return;
      case "tmpfs-mode":
        if (!/^[0-7]{1,11}$/.test(value)) throw new BadValue(`invalid value for ${key}: ${value}`);
        mount.TmpfsOptions = { ...mount.TmpfsOptions, Mode: Number.parseInt(value, 8) };
        return;
      case "image-subpath":
        mount.ImageOptions = { Subpath: value };
        return;
      default:
        if (key.startsWith("bind-")) this.#setBind(key, value, field);
        else this.#setVolume(key, value, field);
    }
  }

  #setBind(key: string, value: string, field: string): void {
    const options = { ...this.#mount.BindOptions };
    switch (key) {
      case "bind-propagation":
        options.Propagation = oneOf(propagations, value.toLowerCase(), () => `invalid propagation: ${value}`);
        break;
      case "bind-nonrecursive":
        options.NonRecursive = flag(key, value);
        break;
      case "bind-recursive":
        if (value === "disabled") options.NonRecursive = true;
        else if (value === "writable") options.ReadOnlyNonRecursive = true;
        else if (value === "readonly") options.ReadOnlyForceRecursive = true;
        else if (value !== "enabled") {
          const allowed = '"enabled", "disabled", "writable", or "readonly"';
          throw new BadValue(`invalid value for ${key}: ${value} (must be ${allowed})`);
        }
        break;
      default:
        throw new BadValue(`unexpected key '${key}' in '${field}'`);
    }
    this.#mount.BindOptions = options;
  }

  #setVolume(key: string, value: string, field: string): void {
    const options = { DriverConfig: {}, ...this.#mount.VolumeOptions };
    switch (key) {
      case "volume-subpath":
        options.Subpath = value;
        break;
      case "volume-nocopy":
        options.NoCopy = flag(key, value);
        break;
      case "volume-label":
        this.#volumeLabels.push(value);
        options.Labels = toMap(this.#volumeLabels);
        break;
      case "volume-driver":
        options.DriverConfig = { ...options.DriverConfig, Name: value };
        break;
      case "volume-opt":
        this.#driverOptions.push(value);
        options.DriverConfig = { ...options.DriverConfig, Options: toMap(this.#driverOptions) };
        break;
      default:
        throw new BadValue(`unexpected key '${key}' in '${field}'`);
    }
    this.#mount.VolumeOptions = options;
  }

  finish(): Mount {
    const mount = this.#mount;
    for (const optionClass of this.#used) {
      if (optionClass !== mount.Type) {
        throw new BadValue(`cannot mix '${optionClass}-*' options with mount type '${mount.Type}'`);
      }
    }
    if (mount.Target === "") throw new BadValue("target is required");
    const bind = mount.BindOptions;
    if (bind?.ReadOnlyNonRecursive === true && mount.ReadOnly !== true) {
      throw new BadValue(
        "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
      );
    }
    if (bind?.ReadOnlyForceRecursive === true) {
      if (mount.ReadOnly !== true) {
        throw new BadValue(
          "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction",
        );
      }
      if (bind.Propagation !== "rprivate") {
        throw new BadValue(
          "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
        );
      }
    }
    return mount;
  }
}

function oneOf<Name extends string>(names: readonly Name[], value: string, message: () => string): Name {
  const found = names.find((name) => name === value);
  if (found === undefined) throw new BadValue(message());
  return found;
}

function flag(key: string, value: string): boolean {
  return inWords(`invalid value for ${key}: ${value}`, () => parseBool(value));
}

function size(key: string, value: string): number {
  return inWords(`invalid value for ${key}: ${value}`, () => parseBytes(value));
}
