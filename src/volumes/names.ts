/** Names of volumes, by Docker's rule. */
import { InvalidParameter } from "../core/errors.ts";

const allowed = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
/** The name is a directory's name. */
const longest = 255;

/** @throws InvalidParameter in Docker's words. */
export function validateVolumeName(name: string): void {
  if (name.length === 1) {
    throw new InvalidParameter(
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
    );
  }
  if (!allowed.test(name)) {
    throw new InvalidParameter(
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  }
  if (name.length > longest) {
    throw new InvalidParameter(
      `create ${name.slice(0, 40)}…: a volume name has at most ${longest} characters`,
    );
  }
}
