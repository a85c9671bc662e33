/** In a file of its own, as readers of compressed data need it, and nothing else of the tar reader. */
import { InvalidParameter } from "../../core/errors.ts";

export function unexpectedEnd(): InvalidParameter {
  return new InvalidParameter("unexpected EOF");
}
