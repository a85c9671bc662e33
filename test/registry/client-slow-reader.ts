/** Reads a blob, stands still for a while in the middle of it, and tells its peak memory. */
import { noSuchDigest, registriesFor } from "./client-support.ts";

const [host = "", size = "0"] = process.argv.slice(2);
const repository = registriesFor().repository({ domain: host, path: "a" });
let read = 0;
let peak = 0;
let hasRested = false;
for await (const chunk of repository.blob({ mediaType: "", digest: noSuchDigest, size: Number(size) })) {
  read += chunk.byteLength;
  if (!hasRested) {
    hasRested = true;
    await Bun.sleep(1500);
  }
  peak = Math.max(peak, process.memoryUsage.rss());
}
console.log(JSON.stringify({ read, peak }));
