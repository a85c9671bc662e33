/**
 * Writes a bundle's config.json, with the seccomp filter ready-made where that helps.
 *
 * To compile the default profile costs crun 16 of the 25 ms that it takes to create a container (Debian builds crun
 * without its own cache). crun leaves the compiled filter in its state directory, and takes one from an annotation:
 * so the first container of a profile pays, and its filter is kept for those after it. `linux.seccomp` stays in the
 * configuration all the same: a runtime that does not know the annotation compiles it.
 *
 * What crun compiles is one long chain of comparisons, which takes the kernel a millisecond to load. When the first of
 * the containers has ended, its filter is made short (seccomp-program.ts), for those that come then.
 */

import { hasErrno } from "../core/errors.ts";
import { randomId } from "../core/ids.ts";
import type { Instance } from "../core/instance.ts";
import { basename, dirname, join } from "../core/paths.ts";
import { version } from "../core/version.ts";
import { namesIn } from "../linux/directories.ts";
import {
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "../linux/files.ts";
import { kernelRelease } from "../linux/machine.ts";
import { toJson } from "./json.ts";
import type { RuntimeSpec } from "./oci.ts";
import type { OciRuntime } from "./runtimes.ts";

/** crun(1): a base64 BPF program, used instead of `linux.seccomp`. */
const annotation = "run.oci.seccomp_bpf_data";
/** In the bundle: the name under which the filter is to be kept. */
const keyFile = "seccomp.key";
/** Behind the name of a filter as the runtime has compiled it. */
const compiled = ".compiled";
const instructionSize = 8;

/** Writes `<bundle>/config.json`; with `toJson`, which knows numbers that JSON.stringify does not. */
export function writeConfig(bundle: string, spec: RuntimeSpec, runtime: OciRuntime): void {
  const path = join(bundle, "config.json");
  const key = filterKey(spec, runtime);
  if (key === undefined) {
    writeFileSync(path, toJson(spec), { mode: 0o600 });
    return;
  }
  const kept = filterPath(runtime, key);
  const filter = readFilter(kept) ?? readFilter(kept + compiled);
  if (filter === undefined) {
    writeFileSync(path, toJson(spec), { mode: 0o600 });
    writeFileSync(join(bundle, keyFile), key);
    return;
  }
  const annotations = { ...spec.annotations, [annotation]: filter.toString("base64") };
  writeFileSync(path, toJson({ ...spec, annotations }), { mode: 0o600 });
}

/** Keeps the filter that the runtime has just compiled for this container, if `writeConfig` had none. */
export function keepFilter(bundle: string, id: string, runtime: OciRuntime): void {
  try {
    const target = filterPath(runtime, readFileSync(join(bundle, keyFile), "utf8")) + compiled;
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    // A link, not a copy: the runtime never writes this file again.
    linkSync(join(runtime.stateDirectory, id, "seccomp.bpf"), target);
  } catch (error) {
    // No key: nothing to keep. No filter: another runtime under crun's name. There already: another was quicker.
    if (!hasErrno(error, "ENOENT", "EEXIST")) throw error;
  }
}

/**
 * Makes the filters short that were kept as they were compiled. It takes some 10 ms, so nobody should wait for it.
 * Another process may do the same at the same time.
 */
export async function shortenFilters({ execRoot }: Pick<Instance, "execRoot">): Promise<void> {
  const directories = namesIn(execRoot).filter(
    (name) => name.startsWith("runtime-") && name.endsWith(filters),
  );
  for (const directory of directories.map((name) => join(execRoot, name))) {
    for (const name of namesIn(directory).filter((each) => each.endsWith(compiled))) {
      const { optimizeFilter } = await import("./seccomp-program.ts");
      const path = join(directory, name);
      const filter = readFilter(path);
      if (filter === undefined) continue;
      // Never in place: the container that it was compiled for has the same file.
      const aside = `${path}-${randomId()}`;
      writeFileSync(aside, optimizeFilter(filter), { mode: 0o600 });
      renameSync(aside, path.slice(0, -compiled.length));
      rmSync(path, { force: true });
    }
  }
}

/** What the filter depends on: davit, the profile, the runtime's build and the kernel. */
function filterKey(spec: RuntimeSpec, runtime: OciRuntime): string | undefined {
  const profile = spec.linux.seccomp;
  if (profile === undefined || basename(runtime.path) !== "crun") return undefined;
  const { mtimeMs, size } = statSync(runtime.path);
  return new Bun.CryptoHasher("sha256")
    .update(JSON.stringify([version, profile, runtime.path, mtimeMs, size, kernelRelease()]))
    .digest("hex");
}

/** Behind the name of the directory with the runtime's records. */
const filters = "-filters";

/** Beside the runtime's records, and like them gone after a reboot. Only root gets in. */
function filterPath(runtime: OciRuntime, key: string): string {
  return join(runtime.stateDirectory + filters, key);
}

function readFilter(path: string): Buffer | undefined {
  try {
    const filter = readFileSync(path);
    return filter.length > 0 && filter.length % instructionSize === 0 ? filter : undefined;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
