/** Bytes that are what their descriptor says, or an error at their end. */
import { InvalidParameter } from "../../core/errors.ts";
import type { Descriptor } from "../manifest.ts";

/** @throws InvalidParameter when they are fewer or more, or have another digest. Chunks may be reused by the source. */
export async function* verified(
  source: AsyncIterable<Uint8Array>,
  { digest, size }: Pick<Descriptor, "digest" | "size">,
): AsyncGenerator<Uint8Array> {
  const hash = new Bun.CryptoHasher("sha256");
  let received = 0;
  for await (const chunk of source) {
    received += chunk.byteLength;
    if (received > size)
      throw new InvalidParameter(`blob ${digest} has more than the ${size} bytes of its descriptor`);
    hash.update(chunk);
    yield chunk;
  }
  if (received !== size) {
    throw new InvalidParameter(`blob ${digest} has ${received} bytes, its descriptor says ${size}`);
  }
  const actual = `sha256:${hash.digest("hex")}`;
  if (actual !== digest) throw new InvalidParameter(`blob ${digest} has the content of ${actual}`);
}
