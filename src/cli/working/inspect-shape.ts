/**
 * What `inspect` shows, as Go would hold it: templates say `.OCIv1.Config.WorkingDir` and `.Docker.RootFS.DiffIDs`,
 * whatever the JSON calls these fields and whether it has them.
 */
import { absent, fromJson, GoObject, print, type Value } from "../format/template/values.ts";

/** Fields that JSON leaves out when they are empty, and what they are then. */
const empties: Readonly<Record<string, Value>> = {
  ...all("Author Architecture Variant OS OSVersion Comment Created CreatedBy", ""),
  ...all("User WorkingDir StopSignal Hostname Domainname Image Container DockerVersion", ""),
  ...all("Env Entrypoint Cmd OnBuild Shell OSFeatures History DiffIDs Test", []),
  ...all("ExposedPorts Volumes Labels", {}),
  ...all("EmptyLayer Tty OpenStdin StdinOnce", false),
  ...all("Healthcheck Config", null),
};

function all(names: string, value: Value): Record<string, Value> {
  return Object.fromEntries(names.split(" ").map((name) => [name, value]));
}

/** Maps whose keys are data, not fields. */
const maps = new Set(["ImageAnnotations", "Labels", "ExposedPorts", "Volumes"]);

export function asGoSees(json: object): GoObject {
  return new Struct("buildah.BuilderInfo", json);
}

class Struct extends GoObject {
  readonly typeName: string;
  readonly #json: object;

  constructor(typeName: string, json: object) {
    super();
    this.typeName = typeName;
    this.#json = json;
  }

  override member(name: string): Value | typeof absent {
    const entry = Object.entries(this.#json).find(([key]) => plain(key) === name.toLowerCase());
    if (entry !== undefined && /^[A-Z]/.test(name)) return asGo(name, entry[1]);
    const empty = empties[name];
    return this.typeName !== "buildah.BuilderInfo" && empty !== undefined ? empty : absent;
  }

  override toJson(): unknown {
    return this.#json;
  }

  override print(): string {
    return `{${Object.entries(this.#json)
      .map(([key, value]) => print(asGo(key, value)))
      .join(" ")}}`;
  }
}

/** `diff_ids` is DiffIDs, and `os.version` OSVersion. */
function plain(key: string): string {
  return key.replace(/[._]/g, "").toLowerCase();
}

function asGo(name: string, json: unknown): Value {
  if (maps.has(name)) return fromJson(json ?? {});
  if (Array.isArray(json)) return json.map((item) => asGo("", item));
  if (typeof json === "object" && json !== null) return new Struct(`buildah.${name}`, json);
  return fromJson(json);
}
