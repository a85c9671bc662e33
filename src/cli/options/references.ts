/** Image references, as far as the command line looks into them. */
import { InvalidParameter } from "../../core/errors.ts";
import { familiarForm, parseReference, type Reference, withDefaultTag } from "../../engine/references.ts";
import { BadValue } from "../flags/values.ts";

/** @throws BadValue in Docker's words when no image can have this name. */
export function namedReference(text: string): Reference {
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof InvalidParameter) throw new BadValue(error.message);
    throw error;
  }
}

/** The name with the tag that is meant when none is given; an image's id as it is. */
export function familiarReference(text: string): string {
  return isImageId(text) ? text : familiarForm(withDefaultTag(namedReference(text)));
}

/** @throws BadValue in Docker's words when no image can have this name or id. */
export function checkReference(text: string): void {
  if (!isImageId(text)) namedReference(text);
}

/** Written as no name can be: 64 hexadecimal digits, perhaps behind `sha256:`. */
export function isImageId(text: string): boolean {
  return /^(sha256:)?[0-9a-f]{64}$/.test(text) || /^sha256:[0-9a-f]+$/.test(text);
}
