/** What a build tells while it is done. */

export interface BuildWarning {
  /** `StageNameCasing`; empty for what is no finding of a check. */
  readonly rule: string;
  readonly message: string;
  readonly description?: string;
  readonly url?: string;
  readonly line?: number;
  /** The lines that it is about, as they are shown. */
  readonly excerpt?: string;
}

/** What came out for one platform. */
export interface BuiltImage {
  /** `os/arch[/variant]`. */
  readonly platform: string;
  readonly imageId: string;
  readonly manifestDigest: string;
}

/** What came out. */
export interface BuildResult {
  /** The image that the names stand for here: this machine's platform where it was built, else the first. */
  readonly imageId: string;
  /** What the names lead to: the manifest, or the index of several. */
  readonly manifestDigest: string;
  /** In the order of the request's platforms. */
  readonly images: readonly BuiltImage[];
  /** Familiar: `app:latest`. */
  readonly names: readonly string[];
}

/** Times are milliseconds since 1970. Vertices are numbered in the order in which they are first told of. */
export type BuildEvent =
  | { readonly kind: "vertex"; readonly vertex: number; readonly name: string; readonly digest: string }
  | { readonly kind: "started"; readonly vertex: number; readonly time: number }
  | { readonly kind: "cached"; readonly vertex: number; readonly time: number }
  | {
      readonly kind: "log";
      readonly vertex: number;
      readonly stream: "stdout" | "stderr";
      readonly data: Uint8Array;
      readonly time: number;
    }
  /** A line of what a vertex does: `exporting layers`; told again with `finished` when that is done. */
  | {
      readonly kind: "status";
      readonly vertex: number;
      readonly text: string;
      readonly started: number;
      readonly finished?: number;
    }
  | { readonly kind: "finished"; readonly vertex: number; readonly time: number; readonly error?: string }
  | { readonly kind: "warning"; readonly warning: BuildWarning }
  /** Why a step did not come from the cache: what differs from the build before. */
  | { readonly kind: "explanation"; readonly vertex: number; readonly reason: string }
  /** Told before the build fails: the lines of the Dockerfile that it is about, as they are shown. */
  | { readonly kind: "failure"; readonly vertex?: number; readonly excerpt?: string }
  | { readonly kind: "result"; readonly result: BuildResult };
