/** `--attest`, `--provenance` and `--sbom`: what is attested of an image. */
import type { AttestationRequest, ProvenanceRequest } from "../../engine/build.ts";
import { CommandError } from "../command.ts";
import { fieldsOf } from "./inputs.ts";

export interface AttestationFlags {
  /** `type=provenance,mode=min` */
  readonly attest: readonly string[];
  /** `true`, `false`, `mode=max`; empty when it is not given. */
  readonly provenance: string;
  /** `true`, `false`, `generator=image`; empty when it is not given. */
  readonly sbom: string;
}

const keys = [
  "type",
  "disabled",
  "mode",
  "builder-id",
  "reproducible",
  "version",
  "inline-only",
  "filename",
  "generator",
];

/** Undefined when nothing is to be attested, as it is when nothing is said. @throws CommandError */
export function readAttestations({
  attest,
  provenance,
  sbom,
}: AttestationFlags): AttestationRequest | undefined {
  const all = [...attest, ...shorthand("provenance", provenance), ...shorthand("sbom", sbom)];
  const given = new Map<string, Map<string, string>>();
  for (const text of all) {
    const fields = fieldsOf(text, "attestation", keys);
    const type = fields.get("type") ?? "";
    if (type === "") throw new CommandError("ERROR: attestation type not specified");
    if (type !== "provenance" && type !== "sbom") {
      throw new CommandError(`ERROR: attestation type ${JSON.stringify(type)} is not supported by davit`);
    }
    if (given.has(type)) throw new CommandError(`ERROR: duplicate attestation type ${type}`);
    given.set(type, fields);
  }
  const wanted = (type: string) => {
    const fields = given.get(type);
    return fields === undefined || booleanOf(fields, "disabled") ? undefined : fields;
  };
  const [proof, bill] = [wanted("provenance"), wanted("sbom")];
  if (proof === undefined && bill === undefined) return undefined;
  return {
    ...(proof === undefined ? {} : { provenance: provenanceOf(proof) }),
    // There is no scanner to be named by a command line yet; the engine says so.
    ...(bill === undefined ? {} : { sbom: { scanner: undefined } }),
  };
}

/** `--provenance=true` is `--attest type=provenance`, and so on. */
function shorthand(type: string, value: string): string[] {
  if (value === "") return [];
  if (value === "true" || value === "1") return [`type=${type}`];
  if (value === "false" || value === "0") return [`type=${type},disabled=true`];
  return [`type=${type},${value}`];
}

/** With BuildKit's defaults. */
function provenanceOf(fields: ReadonlyMap<string, string>): ProvenanceRequest {
  const mode = fields.get("mode") ?? "max";
  if (mode !== "min" && mode !== "max" && mode !== "full") {
    throw new CommandError(`ERROR: invalid mode ${JSON.stringify(mode)}`);
  }
  const version = fields.get("version") ?? "v1";
  if (version !== "v1" && version !== "v0.2") {
    throw new CommandError(`ERROR: invalid provenance SLSA version: ${version}`);
  }
  const filename = fields.get("filename");
  return {
    mode: mode === "min" ? "min" : "max",
    version,
    builderId: fields.get("builder-id") ?? "",
    reproducible: booleanOf(fields, "reproducible"),
    ...(filename === undefined ? {} : { filename }),
    ...(booleanOf(fields, "inline-only") ? { isInlineOnly: true } : {}),
  };
}

function booleanOf(fields: ReadonlyMap<string, string>, name: string): boolean {
  const value = fields.get(name) ?? "false";
  if (["true", "1", "false", "0"].includes(value)) return value === "true" || value === "1";
  throw new CommandError(`ERROR: failed to parse ${name} flag ${JSON.stringify(value)}`);
}
