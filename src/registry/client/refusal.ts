/** A registry's refusal, in the words of Docker's registry client. */
import { type ErrorKind, InvalidParameter } from "../../core/errors.ts";
import { type JsonReader, parseJson } from "../../images/json.ts";
import { parseChallenges } from "./challenge.ts";
import { readWhole, TooLarge } from "./documents.ts";
import { RequestFailure } from "./failures.ts";
import type { HttpAnswer } from "./http.ts";
import { parseRetryAfter } from "./patience.ts";

/** Loaded when there is a refusal to be told: it takes milliseconds. */
const http = (): typeof import("node:http") => require("node:http");

const largestRefusal = 64 * 1024;
const longestQuote = 300;

interface RegistryError {
  code: string;
  message: string;
}

/** Reads the answer's body. Never throws for what the body holds. */
export async function refusal(answer: HttpAnswer, request: string): Promise<RequestFailure> {
  const { status, headers } = answer;
  const body = status >= 400 && status < 500 ? await bodyOf(answer) : new Uint8Array();
  await answer.discard();
  const errors = status >= 400 && status < 500 ? errorsOf(answer, body) : [];
  const code = errors[0]?.code;
  const message = errors.length === 0 ? statusText(status, body) : errorText(errors);
  return new RequestFailure(kindOf(status, code), message, {
    status,
    code,
    isPassing: status === 408 || status === 429 || (status >= 500 && status !== 501),
    request,
    retryAfter: parseRetryAfter(headers.get("retry-after"), Date.now()),
  });
}

/** `404 Not Found` */
export function statusLine(status: number): string {
  return `${status} ${http().STATUS_CODES[status] ?? ""}`.trim();
}

/** `manifest unknown: manifest unknown`; several are a list, as in Docker. */
function errorText(errors: readonly RegistryError[]): string {
  const texts = errors.map(({ code, message }) => {
    const words = code.toLowerCase().replaceAll("_", " ");
    return message === "" ? words : `${words}: ${message}`;
  });
  return texts.length === 1 ? (texts[0] ?? "") : `errors:\n${texts.join("\n")}\n`;
}

/** Docker's words for an answer that gives no reason in the form that registries have for it. */
function statusText(status: number, body: Uint8Array): string {
  if (body.byteLength === 0) return `received unexpected HTTP status: ${statusLine(status)}`;
  const quote = JSON.stringify(clip(new TextDecoder().decode(body)));
  return `error parsing HTTP ${status} response body: ${quote}`;
}

async function bodyOf(answer: HttpAnswer): Promise<Uint8Array> {
  try {
    return await readWhole(answer, largestRefusal, "the registry's answer");
  } catch (error) {
    if (!(error instanceof TooLarge || error instanceof RequestFailure)) throw error;
    return new Uint8Array();
  }
}

function errorsOf({ status, headers }: HttpAnswer, body: Uint8Array): RegistryError[] {
  const challenged = bearerError(headers.get("www-authenticate"));
  if (challenged !== undefined) return [challenged];
  const stated = statedErrors(body, status);
  if (stated.length > 0) return stated;
  if (status === 401) return [{ code: "UNAUTHORIZED", message: "authentication required" }];
  // A HEAD has no words.
  if (status !== 403 || body.byteLength > 0) return [];
  return [{ code: "DENIED", message: "requested access to the resource is denied" }];
}

/** RFC 6750, 3.1. */
function bearerError(header: string | null): RegistryError | undefined {
  for (const { scheme, parameters } of parseChallenges(header)) {
    if (scheme !== "bearer") continue;
    const description = parameters.get("error_description");
    const words = (fallback: string) => clip(description === undefined ? fallback : description);
    if (parameters.get("error") === "insufficient_scope") {
      return { code: "DENIED", message: words("requested access to the resource is denied") };
    }
    if (parameters.get("error") === "invalid_token") {
      return { code: "UNAUTHORIZED", message: words("authentication required") };
    }
  }
  return undefined;
}

/** OCI distribution-spec, "Error Codes"; token servers say `details` instead. */
function statedErrors(body: Uint8Array, status: number): RegistryError[] {
  try {
    const json = parseJson(body, "answer");
    const details = json.at("details");
    if (!details.isAbsent) {
      const code = status === 401 ? "UNAUTHORIZED" : status === 429 ? "TOOMANYREQUESTS" : "UNKNOWN";
      return [{ code, message: clip(details.string()) }];
    }
    const errors = json.at("errors").optional((value) => value.array(100)) ?? [];
    return errors.map((error) => ({
      code: clip(textOf(error.at("code"))) || "UNKNOWN",
      message: clip(textOf(error.at("message"))),
    }));
  } catch (error) {
    if (error instanceof InvalidParameter) return [];
    throw error;
  }
}

function textOf(value: JsonReader): string {
  return value.optional((present) => present.string()) ?? "";
}

/** A server's words on a terminal: short, without control characters. */
function clip(text: string): string {
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
  return clean.length > longestQuote ? `${clean.slice(0, longestQuote)}…` : clean;
}

function kindOf(status: number, code: string | undefined): ErrorKind {
  if (status === 401 || code === "UNAUTHORIZED") return "unauthorized";
  if (status === 403 || code === "DENIED") return "forbidden";
  if (status === 404) return "notFound";
  if (status === 429 || status >= 500) return "unavailable";
  return status >= 400 ? "invalid" : "unavailable";
}
