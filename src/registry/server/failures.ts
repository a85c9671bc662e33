/** What a registry answers when it refuses: the error codes of the OCI distribution specification, and their statuses. */

const statusOfCode = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  // Not in the specification; docker-registry has them too.
  RANGE_INVALID: 416,
  PAGINATION_NUMBER_INVALID: 400,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
} as const;

export type RegistryErrorCode = keyof typeof statusOfCode;

/** A request that is refused. */
export class RegistryFailure extends Error {
  override readonly name = "RegistryFailure";
  readonly code: RegistryErrorCode;
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: RegistryErrorCode,
    message: string,
    options: {
      detail?: unknown;
      status?: number;
      headers?: Readonly<Record<string, string>>;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? statusOfCode[code];
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }

  /** The body of the specification: `{"errors":[{"code":…,"message":…,"detail":…}]}`. */
  toResponse(): Response {
    const error = {
      code: this.code,
      message: this.message,
      ...(this.detail === undefined ? {} : { detail: this.detail }),
    };
    return Response.json({ errors: [error] }, { status: this.status, headers: this.headers });
  }
}

export function failure(code: RegistryErrorCode, message: string, detail?: unknown): RegistryFailure {
  return new RegistryFailure(code, message, { detail });
}
