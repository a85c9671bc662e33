/**
 * What goes wrong between us and a registry, with what the retry loop and the translation into Docker's words need.
 * No message here holds a query (it may carry a signature or a token), user information or a header.
 */
import { DavitError, type ErrorKind, messageOf } from "../../core/errors.ts";

export interface FailureFacts {
  isPassing: boolean;
  status?: number | undefined;
  code?: string | undefined;
  retryAfter?: number | undefined;
  isAbsent?: boolean;
  /** `Get "https://…"`, where the message does not begin with it. */
  request?: string | undefined;
}

/** A failure of one request. Translated before it leaves the client, except where it is no registry's refusal. */
export class RequestFailure extends DavitError {
  override readonly name = "RequestFailure";
  /** The same request may succeed a moment later. */
  readonly isPassing: boolean;
  /** HTTP status; undefined when no answer came. */
  readonly status: number | undefined;
  /** The registry's own error code: `MANIFEST_UNKNOWN`. */
  readonly code: string | undefined;
  /** Milliseconds that the server asked us to wait. */
  readonly retryAfter: number | undefined;
  /** Nobody is at the address: what a wrong name looks like, and a registry that is being restarted. */
  readonly isAbsent: boolean;
  readonly request: string | undefined;

  constructor(kind: ErrorKind, message: string, facts: FailureFacts & { cause?: unknown }) {
    super(kind, message, { cause: facts.cause });
    this.isPassing = facts.isPassing;
    this.status = facts.status;
    this.code = facts.code;
    this.retryAfter = facts.retryAfter;
    this.isAbsent = facts.isAbsent ?? false;
    this.request = facts.request;
  }
}

/** `Get "https://registry.example/v2/": …`, as Go words a failed request. */
export function describeRequest(method: string, url: URL): string {
  const verb = method.slice(0, 1) + method.slice(1).toLowerCase();
  return `${verb} "${shownUrl(url)}"`;
}

/** Without what may be secret in it. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** Bun's codes that a second try will not change. */
const lasting = new Set(["EPROTO", "Malformed_HTTP_Response", "ResponseHeadersTooLarge"]);

/**
 * Turns what `fetch` throws before or in the middle of an answer into Go's words. Bun's own error holds the whole address,
 * with a signature in its query perhaps, so it is not kept as the cause.
 */
export function connectionFailure(method: string, url: URL, error: unknown): RequestFailure {
  const code = codeOf(error);
  const isCertificate = code !== undefined && certificateFault(code) !== undefined;
  return new RequestFailure("unavailable", `${describeRequest(method, url)}: ${words(url, code, error)}`, {
    isPassing: !isCertificate && !(code !== undefined && lasting.has(code)),
    isAbsent: code === "ECONNREFUSED" || code === "ENOTFOUND",
  });
}

/** The same failure, as one that another attempt would or would not change. */
export function reworded(
  error: RequestFailure,
  changes: { message?: string; isPassing?: boolean },
): RequestFailure {
  const { isPassing, status, code, retryAfter, isAbsent, request } = error;
  const facts = { isPassing: changes.isPassing ?? isPassing, status, code, retryAfter, isAbsent };
  return new RequestFailure(error.kind, changes.message ?? error.message, {
    ...facts,
    // A new message says where.
    request: changes.message === undefined ? request : undefined,
    cause: error,
  });
}

/** True when there is nobody at the address, or whoever is there does not speak TLS as we want it. */
export function isUnreachable(error: unknown): error is RequestFailure {
  return error instanceof RequestFailure && error.status === undefined;
}

function words(url: URL, code: string | undefined, error: unknown): string {
  switch (code) {
    case "ECONNREFUSED":
      return `dial tcp ${hostAndPort(url)}: connect: connection refused`;
    case "ENOTFOUND":
      return `dial tcp: lookup ${url.hostname}: no such host`;
    case "EAI_AGAIN":
      return `dial tcp: lookup ${url.hostname}: Temporary failure in name resolution`;
    case "ETIMEDOUT":
      return `dial tcp ${hostAndPort(url)}: i/o timeout`;
    case "ECONNRESET":
      return "the connection was closed before the answer was complete";
    case "EPROTO":
      return "http: server gave HTTP response to HTTPS client";
    case "Malformed_HTTP_Response":
      return "malformed HTTP response";
    case "ResponseHeadersTooLarge":
      return "the answer's headers are too large";
    default:
      return (code === undefined ? undefined : certificateFault(code)) ?? clean(messageOf(error), url);
  }
}

function certificateFault(code: string): string | undefined {
  switch (code) {
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return "tls: failed to verify certificate: x509: certificate has expired or is not yet valid";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
    case "HOSTNAME_MISMATCH":
      return "tls: failed to verify certificate: x509: certificate is not valid for this name";
    default:
      return undefined;
  }
}

/** Bun names the whole address in some messages; its query must not be shown. */
function clean(message: string, url: URL): string {
  return message.replaceAll(url.href, shownUrl(url)).replace(/\. For more information, pass `verbose.*$/, "");
}

function hostAndPort(url: URL): string {
  return url.port === "" ? `${url.hostname}:${url.protocol === "https:" ? 443 : 80}` : url.host;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
