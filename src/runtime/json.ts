/** How the runtime's documents are written. */
import type { ProcessSpec, RuntimeSpec } from "./oci.ts";

declare global {
  interface JSON {
    /** A number, verbatim. ECMAScript proposal, stage 4; not yet in the type definitions. */
    rawJSON(text: string): unknown;
  }
}

/**
 * The text of config.json or process.json; not `JSON.stringify`, which cannot write the 64-bit number that means
 * unlimited (2⁶⁴ - 1, here Infinity or what JSON.parse made of it).
 */
export function toJson(document: RuntimeSpec | ProcessSpec): string {
  return JSON.stringify(document, (_, value: unknown) =>
    typeof value === "number" && value >= 2 ** 63 ? JSON.rawJSON("18446744073709551615") : value,
  );
}
