/** The Go programs of oracle/, which ask BuildKit's own packages: built once, through the Go module proxy. */
import { mkdirSync, readFileSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { closeLockFile, openLockFile, tryLock } from "../../src/linux/flock.ts";

const sources = join(import.meta.dir, "oracle");
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "davit-test");

/**
 * The built program, or why there is none; the user's cache keeps it. Building one for the first time takes minutes.
 * @param directory of its package, below oracle/
 */
export function buildGoProgram(name: string, directory: string): { program: string } | { missing: string } {
  const go = Bun.which("go");
  if (go === null) return { missing: "Go is not installed" };
  const program = programPath(name, directory);
  if (Bun.spawnSync(["test", "-x", program]).success) return { program };
  mkdirSync(cache, { recursive: true });
  using _alone = lockedFile(join(cache, "go-build.lock"));
  if (Bun.spawnSync(["test", "-x", program]).success) return { program };
  // Without all modules there is no program; a program that does not compile is a fault.
  const modules = Bun.spawnSync([go, "list", "-deps", "."], { cwd: join(sources, directory) });
  if (!modules.success) return { missing: `${name} cannot be built: ${lastLine(modules.stderr)}` };
  const unfinished = `${program}.${process.pid}`;
  const command = ["nice", go, "build", "-buildvcs=false", "-ldflags=-s -w", "-o", unfinished, "."];
  const built = Bun.spawnSync(command, { cwd: join(sources, directory) });
  if (!built.success) throw new Error(`${name} cannot be built: ${built.stderr.toString()}`);
  renameSync(unfinished, program);
  return { program };
}

function lastLine(text: Buffer): string {
  return text.toString().trim().split("\n").at(-1) ?? "";
}

/** Programs are built one after the other: the compiler uses all processors, and what they share is built once. */
function lockedFile(path: string): Disposable {
  const fd = openLockFile(path);
  while (!tryLock(fd, "exclusive", path)) Bun.sleepSync(100);
  return { [Symbol.dispose]: () => closeLockFile(fd) };
}

/** Changes with the sources. */
function programPath(name: string, directory: string): string {
  const hash = new Bun.CryptoHasher("sha256");
  for (const file of [join(directory, "main.go"), "go.mod", "go.sum"]) {
    hash.update(readFileSync(join(sources, file)));
  }
  return join(cache, `${name}-${hash.digest("hex").slice(0, 16)}`);
}
