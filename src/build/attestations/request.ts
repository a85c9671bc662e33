/** What is to be attested of what is built. */
import type { Platform } from "../../images/manifest.ts";

/** `--provenance`: SLSA provenance, with the parameters that BuildKit's has. */
export interface ProvenanceRequest {
  /** `min` leaves out build arguments, labels, secrets, steps and sources. */
  readonly mode: "min" | "max";
  readonly version: "v1" | "v0.2";
  /** URI of who builds; empty when nobody says. */
  readonly builderId: string;
  /** What the user claims of the build. */
  readonly reproducible: boolean;
  /** Of the file where the output is no image; `provenance.json` when absent. */
  readonly filename?: string;
  /** Only of images: no file is written beside files. */
  readonly isInlineOnly?: boolean;
}

/** A predicate about an image, as in-toto has it. */
export interface Predicate {
  /** `https://spdx.dev/Document` */
  readonly predicateType: string;
  readonly predicate: unknown;
  /** Its name where the output is no image; that of a bill of materials when absent. */
  readonly file?: string;
}

/** As the scanners for BuildKit call it. */
export const sbomFile = "sbom.spdx.json";

/** Finds out what an image is made of. davit has no scanner of its own: a program that embeds it may bring one. */
export interface SbomScanner {
  /**
   * Called once for each image, while its files are mounted.
   * @returns bills of materials; they become statements about the image
   * @throws what then fails the build
   */
  scan(request: {
    /** Where the image's files are mounted, read-only by convention. */
    readonly root: string;
    readonly platform: Platform;
    readonly signal: AbortSignal;
  }): Promise<readonly Predicate[]>;
}

export interface AttestationRequest {
  readonly provenance?: ProvenanceRequest;
  readonly sbom?: { readonly scanner: SbomScanner | undefined };
}
