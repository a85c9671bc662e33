/** Content-Range and Range as registries use them. RFC 9110, 14.4; distribution-spec, "Pushing a blob in chunks". */

/** First byte and whole size of `bytes 100-199/1000`; the size is undefined for `*`. */
export function parseContentRange(
  text: string | null,
): { start: number; size: number | undefined } | undefined {
  const [, start, size] = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(text ?? "") ?? [];
  if (start === undefined || size === undefined) return undefined;
  return { start: Number(start), size: size === "*" ? undefined : Number(size) };
}

/** How many bytes an upload has, from its status' `Range: 0-99`. An empty upload says `0-0` or nothing. */
export function parseUploadRange(text: string | null): number | undefined {
  const [, end] = /^(?:bytes=)?0-(\d{1,15})$/.exec(text ?? "") ?? [];
  if (end === undefined) return undefined;
  return end === "0" ? 0 : Number(end) + 1;
}
