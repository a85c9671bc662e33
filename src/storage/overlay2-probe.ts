/**
 * What the kernel's overlay and the file system below it can do: tried with real mounts in a directory of their own,
 * as neither version numbers nor the list of file systems tell.
 */

import { hasErrno, messageOf, Unavailable } from "../core/errors.ts";
import { join } from "../core/paths.ts";
import { readDirectory, removeTree } from "../linux/directories.ts";
import { closeSync, mkdirSync, openSync, readFileSync } from "../linux/files.ts";
import { inDirectory, mount, unmountIfMounted } from "../linux/mounts.ts";
import { deviceNumber, makeNodeAt, nodeType } from "../linux/nodes.ts";
import { closeFile, openDirectory } from "../linux/paths.ts";
import { setXattr } from "../linux/xattrs.ts";
import { backingFileSystem } from "./file-systems.ts";

const wayOut = "use another --data-root, or --storage-driver vfs (which copies whole trees)";

/** As every mount of the driver has them (overlay2.ts), but `volatile`. */
const usualOptions = "index=off,metacopy=off,redirect_dir=nofollow";

/**
 * Tries what overlay2 needs on the file system of `dataRoot`: file types in directories, whiteouts, trusted xattrs, a
 * mount.
 * @throws Unavailable that names what is missing and the way out.
 */
export function probeOverlay2(dataRoot: string): void {
  const backing = backingFileSystem(dataRoot);
  const fail = (missing: string, error?: unknown): never => {
    const why = error === undefined ? "" : ` (${messageOf(error)})`;
    throw new Unavailable(`overlay2 cannot be used: ${missing}${why}; ${wayOut}`, { cause: error });
  };
  if (backing === "overlayfs")
    fail("the data root is on an overlay itself, and overlay cannot write to another");
  using probe = new Probe(dataRoot);
  const step = (missing: string, work: () => void) => {
    try {
      work();
    } catch (error) {
      if (hasErrno(error, "ENOSPC", "EDQUOT", "EROFS", "EIO")) throw error;
      fail(missing, error);
    }
  };
  if (!probe.supportsTypes()) {
    fail(
      `the file system of the data root (${backing}) does not tell the types of files in directories (d_type)` +
        (backing === "xfs" ? "; make it anew with mkfs.xfs -n ftype=1" : ""),
    );
  }
  step(`the file system of the data root (${backing}), or this user, cannot make device nodes`, () =>
    probe.makeWhiteout(),
  );
  step(`the file system of the data root (${backing}) keeps no trusted.* extended attributes`, () =>
    setXattr(join(probe.path, "lower"), "trusted.overlay.opaque", Buffer.from("y")),
  );
  step("the kernel cannot mount overlay here (is the module there? `modprobe overlay`)", () =>
    probe.mount(usualOptions),
  );
}

/**
 * For `docker info`: the file system below, Docker's own pairs, then what the kernel's overlay can do, and whether
 * davit makes use of it. Layers stay plain trees, so that what would tie them together is off.
 */
export function describeOverlay2(dataRoot: string): [string, string][] {
  using probe = new Probe(dataRoot);
  const can = (option: string) => String(probe.canMount(option));
  return [
    ["Backing Filesystem", backingFileSystem(dataRoot)],
    ["Supports d_type", String(probe.supportsTypes())],
    ["Using metacopy", "false"],
    ["Native Overlay Diff", "true"],
    ["userxattr", "false"],
    ["Kernel supports volatile", can("volatile")],
    ["Kernel supports metacopy", can("metacopy=on,redirect_dir=on")],
    ["Kernel supports redirect_dir", can("redirect_dir=on")],
    ["Kernel supports index", can("index=on")],
    ["Kernel supports xino", can("xino=on")],
    ["Kernel supports userxattr", can("userxattr")],
    ["Kernel defaults", kernelDefaults()],
  ];
}

/** What a mount gets that names no options: the module's parameters. */
function kernelDefaults(): string {
  const names = ["metacopy", "redirect_dir", "index", "xino_auto"];
  return names.map((name) => `${name}=${moduleParameter(name)}`).join(" ");
}

function moduleParameter(name: string): string {
  try {
    return readFileSync(`/sys/module/overlay/parameters/${name}`, "latin1").trim();
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return "unknown";
    throw error;
  }
}

/** A stack of two directories, to be tried. */
class Probe implements Disposable {
  readonly path: string;

  constructor(dataRoot: string) {
    this.path = join(dataRoot, `.overlay2-probe-${process.pid}`);
    this.clear();
    mkdirSync(join(this.path, "lower"), { recursive: true });
    mkdirSync(join(this.path, "merged"));
    closeSync(openSync(join(this.path, "file"), "w"));
  }

  supportsTypes(): boolean {
    return this.within((fd) => readDirectory(fd).every(({ type }) => type !== 0));
  }

  makeWhiteout(): void {
    this.within((fd) => makeNodeAt(fd, "whiteout", nodeType.characterDevice, deviceNumber(0, 0)));
  }

  mount(options: string): void {
    for (const name of ["diff", "work"]) {
      // `index` leaves a mark that a mount without it does not like.
      removeTree(join(this.path, name));
      mkdirSync(join(this.path, name));
    }
    const all = `lowerdir=lower,upperdir=diff,workdir=work,${options}`;
    this.within((fd) =>
      inDirectory(fd, () => mount("overlay", join(this.path, "merged"), "overlay", 0, all)),
    );
    unmountIfMounted(join(this.path, "merged"));
  }

  canMount(options: string): boolean {
    try {
      this.mount(options);
      return true;
    } catch (error) {
      if (hasErrno(error, "EINVAL", "EOPNOTSUPP", "EPERM", "ENODEV")) return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.clear();
  }

  private within<Result>(work: (fd: number) => Result): Result {
    const fd = openDirectory(this.path);
    try {
      return work(fd);
    } finally {
      closeFile(fd);
    }
  }

  private clear(): void {
    unmountIfMounted(join(this.path, "merged"));
    removeTree(this.path);
  }
}
