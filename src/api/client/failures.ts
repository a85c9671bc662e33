/** Turns what goes wrong between us and an Engine API into davit's errors, in Docker's words. */
import {
  Conflict,
  DavitError,
  type ErrorKind,
  Forbidden,
  hasErrno,
  InvalidParameter,
  messageOf,
  NotFound,
  NotImplemented,
  NotModified,
  StartFailure,
  SystemFailure,
  statusOf,
  Unauthorized,
  Unavailable,
} from "../../core/errors.ts";
import type { Endpoint } from "./host.ts";

/** The error that the server's status and message stand for. */
export function errorOfStatus(status: number, message: string): DavitError {
  switch (status) {
    case statusOf.invalid:
      return new InvalidParameter(message);
    case statusOf.forbidden:
      return new Forbidden(message);
    case statusOf.notFound:
      return new NotFound(message);
    case statusOf.conflict:
      return new Conflict(message);
    case statusOf.notModified:
      return new NotModified(message);
    case statusOf.unavailable:
      return new Unavailable(message);
    case statusOf.notImplemented:
      return new NotImplemented(message);
    case statusOf.unauthorized:
      return new Unauthorized(message);
    default:
      return status >= 400 && status < 500 ? new InvalidParameter(message) : new SystemFailure(message);
  }
}

/** The text of an error body: `{"message": …}`, or the body itself where it is not JSON. */
export function messageOfBody(status: number, body: string): string {
  const text = body.trim();
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && "message" in parsed) {
      return String(parsed.message).trim();
    }
  } catch {
    // Not JSON: a proxy's page, or a line of plain text.
  }
  return text === "" ? `request failed with status ${status}` : text;
}

/**
 * A start that failed because the program cannot be run is a StartFailure with the shell's exit code, as the
 * docker CLI reads it from the runtime's message; any other failure stays as it is.
 */
export function asStartFailure(error: unknown): unknown {
  if (!(error instanceof DavitError) || !startKinds.includes(error.kind)) return error;
  if (notFoundWords.some((words) => error.message.includes(words))) {
    return new StartFailure(error.message, 127, { cause: error });
  }
  if (notExecutableWords.some((words) => error.message.includes(words))) {
    return new StartFailure(error.message, 126, { cause: error });
  }
  return error;
}

const startKinds: readonly ErrorKind[] = ["invalid", "notFound", "system"];
const notFoundWords = ["executable file not found", "no such file or directory"];
const notExecutableWords = ["permission denied", "is a directory"];

/** A connection that could not be made or broke, in the docker CLI's words. */
export function connectionFailure(endpoint: Endpoint, error: unknown): unknown {
  if (error instanceof DavitError || (error instanceof Error && error.name === "AbortError")) return error;
  if (hasErrno(error, "EACCES", "EPERM")) {
    return new Forbidden(
      `permission denied while trying to connect to the Docker daemon socket at ${endpoint.host}`,
      { cause: error },
    );
  }
  if (hasErrno(error, "ENOENT", "ECONNREFUSED", "ConnectionRefused", "FailedToOpenSocket", "ETIMEDOUT")) {
    return new Unavailable(
      `Cannot connect to the Docker daemon at ${endpoint.host}. Is the docker daemon running?`,
      { cause: error },
    );
  }
  return new Unavailable(`error during connect: ${endpoint.host}: ${messageOf(error)}`, { cause: error });
}
