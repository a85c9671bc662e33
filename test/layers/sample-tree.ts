/** A tree with one of everything that a layer can hold. */
import {
  chmodSync,
  chownSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { deviceNumber, makeNodeAt, nodeType, setTimesAt } from "../../src/linux/nodes.ts";
import { closeFile, openDirectory, pathBytes } from "../../src/linux/paths.ts";
import { setXattr } from "../../src/linux/xattrs.ts";

/** cap_net_raw=ep, as vfs_cap_data version 2. */
const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");

export function makeSampleTree(root: string): void {
  const at = (...names: string[]) => join(root, ...names);
  mkdirSync(at("dir/inner"), { recursive: true });
  writeFileSync(at("file"), "hello\n");
  chmodSync(at("file"), 0o4755);
  linkSync(at("file"), at("hard"));
  symlinkSync("file", at("symlink"));
  symlinkSync("/etc/passwd", at("absolute"));
  writeFileSync(at("empty"), "");
  writeFileSync(at("dir/inner/capable"), "#!/bin/true\n");
  setXattr(at("dir/inner/capable"), "security.capability", capability);
  setXattr(at("file"), "user.binary", Buffer.from([0, 1, 10, 61, 255]));
  setXattr(at("dir"), "trusted.note", Buffer.from("directory"));

  const long = "x".repeat(200);
  mkdirSync(at("long", long, long), { recursive: true });
  writeFileSync(at("long", long, long, long), "deep");
  linkSync(at("long", long, long, long), at("long", `link-${long}`));
  symlinkSync("y".repeat(300), at("long", "symlink"));
  writeFileSync(at("umläut-日本"), "utf-8");
  writeFileSync(Buffer.from(pathBytes(at("bytes-\udcff\udc80"))).subarray(0, -1), "not utf-8");

  writeFileSync(at("data"), Buffer.alloc(300_000, "0123456789abcdef"));
  const sparse = openSync(at("sparse"), "w");
  writeSync(sparse, "start");
  for (let run = 1; run < 40; run += 1) writeSync(sparse, `run ${run}`, run * (1 << 20) + 123);
  ftruncateSync(sparse, 64 << 20);
  closeSync(sparse);

  const fd = openDirectory(root);
  try {
    makeNodeAt(fd, "null", nodeType.characterDevice | 0o666, deviceNumber(1, 3));
    makeNodeAt(fd, "loop", nodeType.blockDevice | 0o660, deviceNumber(7, 300));
    makeNodeAt(fd, "fifo", nodeType.fifo | 0o640);
    setTimesAt(fd, "null", 0n, 1_000_000_000n);
    mkdirSync(at("sticky"));
    chmodSync(at("sticky"), 0o1777);
    chownSync(at("dir"), 1000, 2000);
    chownSync(at("dir/inner"), 70_000, 3_000_000);
    setTimesAt(fd, "file", 987_654_321_987_654_321n, 1_234_567_890_123_456_789n);
    setTimesAt(fd, "symlink", 5n, 7_000_000_007n);
    setTimesAt(fd, "dir/inner", 1n, 86_400_000_000_001n);
    setTimesAt(fd, "dir", 1n, 5_000_000_001n);
    setTimesAt(fd, "empty", -1n, -1_500_000_000n);
  } finally {
    closeFile(fd);
  }
}
