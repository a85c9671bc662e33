/**
 * The closed family of errors. They are thrown deep, with facts, and become Docker's words, status codes
 * and exit codes in one place at the edge (the CLI and the Engine API server).
 */

/** The kinds of failure a caller can act on, each with the HTTP status the Engine API gives it. */
export const statusOf = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  notFound: 404,
  conflict: 409,
  notModified: 304,
  unavailable: 503,
  notImplemented: 501,
  system: 500,
} as const;

export type ErrorKind = keyof typeof statusOf;

/** Every failure that davit foresees. `message` is what a user reads, in Docker's words where Docker has some. */
export class DavitError extends Error {
  override readonly name: string = "DavitError";
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** The request itself is wrong: a malformed reference, flag, archive or body. */
export class InvalidParameter extends DavitError {
  override readonly name = "InvalidParameter";
  constructor(message: string, options?: { cause?: unknown }) {
    super("invalid", message, options);
  }
}

/** Credentials are missing or refused. */
export class Unauthorized extends DavitError {
  override readonly name = "Unauthorized";
  constructor(message: string, options?: { cause?: unknown }) {
    super("unauthorized", message, options);
  }
}

/** The named object does not exist. */
export class NotFound extends DavitError {
  override readonly name = "NotFound";
  constructor(message: string, options?: { cause?: unknown }) {
    super("notFound", message, options);
  }
}

/** The object exists, but its state or another object forbids the act. */
export class Conflict extends DavitError {
  override readonly name = "Conflict";
  constructor(message: string, options?: { cause?: unknown }) {
    super("conflict", message, options);
  }
}

/** The object is already as asked; not a failure for most callers. */
export class NotModified extends DavitError {
  override readonly name = "NotModified";
  constructor(message: string) {
    super("notModified", message);
  }
}

/** The caller may not do this. */
export class Forbidden extends DavitError {
  override readonly name = "Forbidden";
  constructor(message: string, options?: { cause?: unknown }) {
    super("forbidden", message, options);
  }
}

/** A program, kernel feature or peer that is needed is not there. The message names it and the way out. */
export class Unavailable extends DavitError {
  override readonly name = "Unavailable";
  constructor(message: string, options?: { cause?: unknown }) {
    super("unavailable", message, options);
  }
}

/** davit cannot do this (yet). The message says what it is that cannot be done. */
export class NotImplemented extends DavitError {
  override readonly name = "NotImplemented";
  constructor(message: string) {
    super("notImplemented", message);
  }
}

/** Something below us failed: the kernel, a file, a runtime. */
export class SystemFailure extends DavitError {
  override readonly name: string = "SystemFailure";
  constructor(message: string, options?: { cause?: unknown }) {
    super("system", message, options);
  }
}

/**
 * A container could not be started: the runtime refused it. `exitCode` is what `docker run` exits with
 * (126 cannot be invoked, 127 not found, 128 otherwise) and what State.ExitCode shows.
 */
export class StartFailure extends DavitError {
  override readonly name = "StartFailure";
  readonly exitCode: number;
  constructor(message: string, exitCode: 126 | 127 | 128, options?: { cause?: unknown }) {
    super(exitCode === 128 ? "system" : "invalid", message, options);
    this.exitCode = exitCode;
  }
}

/** A failed system call: which one, on what, and the errno by name (`ENOENT`). */
export class LinuxError extends SystemFailure {
  override readonly name = "LinuxError";
  readonly errno: number;
  readonly code: string;
  readonly syscall: string;
  readonly path: string | undefined;
  constructor(syscall: string, errno: number, code: string, description: string, path?: string) {
    super(path === undefined ? `${syscall}: ${description}` : `${syscall} ${path}: ${description}`);
    this.errno = errno;
    this.code = code;
    this.syscall = syscall;
    this.path = path;
  }
}

/** True when `error` is a failed system call with this errno name, from our own door or from Node's. */
export function hasErrno(error: unknown, ...codes: string[]): boolean {
  return (
    error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code)
  );
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
