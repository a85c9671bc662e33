/** The value of `RUN --mount=…`: its keys and what they mean for each type of mount. */
import { csvFields } from "./csv.ts";
import { LineFault } from "./errors.ts";
import { withSuggestion } from "./suggest.ts";
import { parseBool, quote } from "./text.ts";

export type MountType = "bind" | "cache" | "tmpfs" | "secret" | "ssh";
export type CacheSharing = "shared" | "private" | "locked";

/** A mount whose variables are expanded. */
export interface RunMount {
  readonly type: MountType;
  /** A stage or an image; empty for the context. */
  readonly from: string;
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** Bytes, for tmpfs; 0 for no limit. */
  readonly size: number;
  readonly id: string;
  /** Undefined when not given: shared. */
  readonly sharing: CacheSharing | undefined;
  readonly required: boolean;
  /** The variable that a secret is given in; undefined when not asked for. */
  readonly env: string | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

const mountTypes: readonly MountType[] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const sharingModes: readonly CacheSharing[] = ["shared", "private", "locked"];
const keys =
  "type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env".split(
    " ",
  );

/**
 * `from` as it is written: needed before variables are known, and so without any.
 * @throws LineFault
 */
export function mountFrom(text: string): string {
  let from = "";
  for (const { key, value } of splitFields(text)) {
    if (value === undefined || key !== "from") continue;
    const dollar = value.indexOf("$");
    if (dollar >= 0 && dollar !== value.length - 1) {
      throw new LineFault("'from' doesn't support variable expansion, define alias stage instead");
    }
    from = value;
  }
  return from;
}

interface Field {
  readonly text: string;
  readonly key: string;
  readonly value: string | undefined;
}

function splitFields(text: string): Field[] {
  let fields: string[];
  try {
    fields = csvFields(text);
  } catch (error) {
    if (!(error instanceof LineFault)) throw error;
    throw new LineFault(`failed to parse csv mounts: ${error.message}`);
  }
  return fields.map((field) => {
    const at = field.indexOf("=");
    return at < 0
      ? { text: field, key: field.toLowerCase(), value: undefined }
      : { text: field, key: field.slice(0, at).toLowerCase(), value: field.slice(at + 1) };
  });
}

type Draft = { -readonly [Key in keyof RunMount]: RunMount[Key] };

/**
 * Reads a mount, each value expanded by `expandWord`.
 * @throws LineFault in BuildKit's words
 */
export function parseMount(text: string, expandWord: (word: string) => string): RunMount {
  const mount: Draft = {
    type: "bind",
    from: "",
    source: "",
    target: "",
    readOnly: false,
    size: 0,
    id: "",
    sharing: undefined,
    required: false,
    env: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
  };
  let isReadOnlyGiven = false;
  for (const field of splitFields(text)) {
    if (field.value === undefined) setSwitch(mount, field);
    else setValue(mount, field, expandWord(field.value));
    if (["readonly", "ro", "readwrite", "rw"].includes(field.key)) isReadOnlyGiven = true;
  }
  if (!isReadOnlyGiven) mount.readOnly = mount.type !== "cache" && mount.type !== "tmpfs";
  checkMount(mount);
  return mount;
}

/** A key without a value. */
function setSwitch(mount: Draft, { key, text }: Field): void {
  if (key === "readonly" || key === "ro") mount.readOnly = true;
  else if (key === "readwrite" || key === "rw") mount.readOnly = false;
  else if (key !== "required") throw new LineFault(`invalid field '${text}' must be a key=value pair`);
  else {
    if (mount.type !== "secret" && mount.type !== "ssh") throw unexpectedFor(key, mount.type);
    mount.required = true;
  }
}

function setValue(mount: Draft, { key, text }: Field, value: string): void {
  switch (key) {
    case "type":
      mount.type = mountType(value);
      break;
    case "from":
      mount.from = value;
      break;
    case "source":
    case "src":
      mount.source = value;
      break;
    case "target":
    case "dst":
    case "destination":
      mount.target = value;
      break;
    case "readonly":
    case "ro":
      mount.readOnly = boolean(key, value);
      break;
    case "readwrite":
    case "rw":
      mount.readOnly = !boolean(key, value);
      break;
    case "required":
      if (mount.type !== "secret" && mount.type !== "ssh") throw unexpectedFor(key, mount.type);
      mount.required = boolean(key, value);
      break;
    case "size":
      if (mount.type !== "tmpfs") throw unexpectedFor(key, mount.type);
      mount.size = parseSize(value) ?? fail(`invalid value for ${key}: ${value}`);
      break;
    case "id":
      mount.id = value;
      break;
    case "sharing":
      mount.sharing = sharingMode(value);
      break;
    case "mode":
      mount.mode = unsigned(value, 8) ?? fail(`invalid value ${value} for mode`);
      break;
    case "uid":
      mount.uid = unsigned(value, 10) ?? fail(`invalid value ${value} for uid`);
      break;
    case "gid":
      mount.gid = unsigned(value, 10) ?? fail(`invalid value ${value} for gid`);
      break;
    case "env":
      mount.env = value;
      break;
    default:
      fail(withSuggestion(`unexpected key '${key}' in '${text}'`, key, keys));
  }
}

function checkMount(mount: RunMount): void {
  const { type } = mount;
  if (type === "bind" || type === "tmpfs") {
    for (const key of ["mode", "uid", "gid"] as const) {
      if (mount[key] !== undefined) fail(`${key} not allowed for ${quote(type)} type mounts`);
    }
  }
  if (type === "secret") {
    if (mount.from !== "") fail("secret mount should not have a from");
    if (mount.sharing !== undefined) fail("secret mount should not define sharing");
    if (mount.source === "" && mount.target === "" && mount.id === "") {
      fail("invalid secret mount. one of source, target required");
    }
    if (mount.source !== "" && mount.id !== "") fail("both source and id can't be set");
  }
  if (mount.sharing !== undefined && type !== "cache") fail(`invalid cache sharing set for ${type} mount`);
}

function fail(message: string): never {
  throw new LineFault(message);
}

function unexpectedFor(key: string, type: MountType): LineFault {
  return new LineFault(`unexpected key '${key}' for mount type '${type}'`);
}

function mountType(value: string): MountType {
  const lower = value.toLowerCase();
  return (
    mountTypes.find((type) => type === lower) ??
    fail(withSuggestion(`unsupported mount type ${quote(value)}`, value, mountTypes))
  );
}

function sharingMode(value: string): CacheSharing {
  const lower = value.toLowerCase();
  return (
    sharingModes.find((mode) => mode === lower) ??
    fail(withSuggestion(`unsupported sharing value ${quote(value)}`, value, sharingModes))
  );
}

function boolean(key: string, value: string): boolean {
  return parseBool(value) ?? fail(`invalid value for ${key}: ${value}`);
}

/** strconv.ParseUint of 32 bits. */
function unsigned(text: string, base: 8 | 10): number | undefined {
  if (!(base === 8 ? /^[0-7]+$/ : /^[0-9]+$/).test(text)) return undefined;
  const number = Number.parseInt(text, base);
  return number <= 0xffffffff ? number : undefined;
}

const powers: Readonly<Record<string, number>> = { "": 0, b: 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

/** Bytes of `64m`, `1.5GiB`, `100 kb`: units.RAMInBytes. */
function parseSize(text: string): number | undefined {
  const [, number = "", unit = ""] = /^([0-9.]+) ?((?:b|[kmgtp](?:i?b)?)?)$/i.exec(text) ?? [];
  const power = powers[unit.charAt(0).toLowerCase()];
  if (power === undefined || !/^(?:[0-9]+\.?[0-9]*|\.[0-9]+)$/.test(number)) return undefined;
  return Math.trunc(Number(number) * 1024 ** power);
}
