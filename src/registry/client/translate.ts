/** Failures of requests as the errors and words that Docker's users know. */
import { DavitError, NotFound, Unauthorized, Unavailable } from "../../core/errors.ts";
import { familiarForm, familiarName, type Reference } from "../../images/references.ts";
import { RequestFailure } from "./failures.ts";

export type Act = "pull" | "push" | "other";

/** `error`, or what it means for a name. Anything but a refused request passes unchanged. */
export function translate(error: unknown, act: Act, reference: Reference): unknown {
  if (act === "push" && isAboutCredentials(error)) return typed(error.cause);
  if (!(error instanceof RequestFailure)) return error;
  const words = act === "pull" ? pullWords(error, reference) : undefined;
  if (words !== undefined) return new NotFound(words, { cause: error });
  return typed(error, withPlace(error, act));
}

/** What authorization came to, while Docker does not say of which request. */
function isAboutCredentials(error: unknown): error is DavitError & { cause: DavitError } {
  return error instanceof DavitError && error.kind === "unauthorized" && error.cause instanceof DavitError;
}

/** The same failure as a member of the family of errors. */
export function typed(error: DavitError, message = error.message): DavitError {
  switch (error.kind) {
    case "unauthorized":
      return new Unauthorized(message, { cause: error });
    case "notFound":
      return new NotFound(message, { cause: error });
    case "unavailable":
      return new Unavailable(message, { cause: error });
    default:
      return new DavitError(error.kind, message, { cause: error });
  }
}

function pullWords(error: RequestFailure, reference: Reference): string | undefined {
  switch (error.code) {
    case "DENIED":
      return (
        `pull access denied for ${familiarName(reference)}, repository does not exist or may require ` +
        `'docker login': ${error.message}`
      );
    case "MANIFEST_UNKNOWN":
      return `manifest for ${familiarForm(reference)} not found: ${error.message}`;
    case "NAME_UNKNOWN":
      return `repository ${familiarName(reference)} not found: ${error.message}`;
    default:
      return undefined;
  }
}

/** Docker names the request, but for a registry's plain refusal of a pull or push. */
function withPlace(error: RequestFailure, act: Act): string {
  const isPlain = error.request === undefined || (act !== "other" && error.code !== undefined);
  return isPlain ? error.message : `${error.request}: ${error.message}`;
}
