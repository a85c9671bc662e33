/** `--cache-from` and `--cache-to`, in buildx's grammar. */
import { resolve } from "../../core/paths.ts";
import type { CacheSource, CacheTarget } from "../../engine/build.ts";
import { CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { formKeys, readForm, readTruth } from "./forms.ts";
import { fieldsOf, typeOf } from "./inputs.ts";

/** `type=registry,ref=…`, `type=local,src=…`; a name alone is a registry's. @throws CommandError */
export function readCacheSource(io: Io, text: string): CacheSource {
  if (isName(text)) return { kind: "registry", reference: text };
  const type = knownType(text, ["registry", "local"]);
  const fields = fieldsOf(text, `type=${type} cache`, ["type", ...sourceKeys[type]]);
  if (type === "registry") {
    return { kind: "registry", reference: needed(fields, "ref", "registry cache importer") };
  }
  const directory = resolve(io.cwd, needed(fields, "src", "local cache importer"));
  const [tag, digest] = [fields.get("tag"), fields.get("digest")];
  return { kind: "local", directory, ...(tag ? { tag } : {}), ...(digest ? { digest } : {}) };
}

const sourceKeys = { registry: ["ref"], local: ["src", "tag", "digest"] };

/** `type=registry,ref=…`, `type=local,dest=…`, `type=inline`, and how. @throws CommandError */
export function readCacheTarget(io: Io, given: string): CacheTarget {
  const text = isName(given) ? `type=registry,ref=${given}` : given;
  const type = knownType(text, ["registry", "local", "inline"]);
  const fields = fieldsOf(text, `type=${type} cache`, ["type", ...targetKeys[type]]);
  const mode = fields.get("mode") || "min";
  if (mode !== "min" && mode !== "max") throw new CommandError(`ERROR: invalid cache export mode: ${mode}`);
  // An image has no more to tell of than the steps that have made it.
  if (type === "inline") return { kind: "inline" };
  if (readTruth(fields, "image-manifest") === false) {
    throw new CommandError(
      "ERROR: image-manifest=false is not supported by davit: its caches are image manifests",
    );
  }
  const ignoresErrors = readTruth(fields, "ignore-error") === true;
  const how = { mode, form: readForm(fields, "gzip") ?? {}, ignoresErrors } as const;
  if (type === "registry") {
    return { kind: "registry", reference: needed(fields, "ref", "registry cache exporter"), ...how };
  }
  const directory = resolve(io.cwd, needed(fields, "dest", "local cache exporter"));
  const tag = fields.get("tag");
  return { kind: "local", directory, ...(tag ? { tag } : {}), ...how };
}

const howKeys = ["mode", "ignore-error", "image-manifest", ...formKeys];
const targetKeys = { registry: ["ref", ...howKeys], local: ["dest", "tag", ...howKeys], inline: howKeys };

function isName(text: string): boolean {
  return !/[=,]/.test(text);
}

const foreignTypes = ["gha", "s3", "azblob"];

function knownType<Type extends string>(text: string, types: readonly Type[]): Type {
  const type = typeOf(text);
  const known = types.find((each) => each === type);
  if (known !== undefined) return known;
  if (type === "") throw new CommandError(`ERROR: type required form> ${JSON.stringify(text)}`);
  throw new CommandError(
    foreignTypes.includes(type)
      ? `ERROR: cache type ${type} is not supported by davit: use registry, local or inline`
      : `ERROR: unknown cache type: ${type}`,
  );
}

function needed(fields: ReadonlyMap<string, string>, key: string, what: string): string {
  const value = fields.get(key) ?? "";
  if (value === "") throw new CommandError(`ERROR: ${key} is required for ${what}`);
  return value;
}
