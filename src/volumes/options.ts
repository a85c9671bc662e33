/** The local driver's options: what is mounted on a volume's directory while it is in use. mount(2). */
import { InvalidParameter } from "../core/errors.ts";

const known = new Set(["type", "o", "device", "size"]);
const needed: Record<string, readonly string[]> = {
  device: ["type"],
  type: ["device"],
  o: ["device", "type"],
};

/** @throws InvalidParameter in Docker's words. */
export function validateDriverOptions(name: string, options: Record<string, string>): void {
  for (const option of Object.keys(options)) {
    if (!known.has(option)) throw new InvalidParameter(`create ${name}: invalid option: "${option}"`);
    for (const other of needed[option] ?? []) {
      if (!(other in options))
        throw new InvalidParameter(`create ${name}: missing required option: "${other}"`);
    }
  }
  if ("size" in options && !("device" in options)) {
    throw new InvalidParameter(`create ${name}: quota size requested but no quota support`);
  }
}
