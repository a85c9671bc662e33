/**
 * What the virtual machine boots from: a kernel and an initial RAM disk, and a disk with davit, the programs that it
 * needs (this machine's own, with their libraries), the kernel's modules, and an image to load. Made once and kept.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { closeLockFile, openLockFile, tryLock } from "../../src/linux/flock.ts";
import { busyboxArchive } from "../harness/images.ts";
import { davitBinary } from "../harness/instance.ts";

/** As scripts/vm-setup.sh has it. */
const cache = process.env.DAVIT_VM_CACHE ?? join(tmpdir(), "davit-vm-cache");
const kernelDirectory = join(cache, "kernel");
const guest = join(import.meta.dir, "guest");

const programs = ["crun", "runc", "conmon", "nft", "ip", "ps"];
/** Loaded by davit while it runs, so that ldd does not see them. */
const libraries = ["libnftables.so.1"];
/** In the order in which they are loaded, before there is a disk. */
const diskModules = [
  "virtio_ring",
  "virtio",
  "virtio_pci_modern_dev",
  "virtio_pci_legacy_dev",
  "virtio_pci",
  "virtio_blk",
];
/** Of the kernel's modules, below `kernel/`: what containers can need, and not sound cards and file systems. */
const moduleDirectories = [
  ...["arch", "block", "crypto", "fs/overlayfs", "lib", "net"],
  ...["drivers/char", "drivers/net", "drivers/virtio"],
];
const diskSize = 2 * 1024 ** 3;

export interface BootFiles {
  kernel: string;
  initrd: string;
  /** Raw ext4. Never written to: each machine writes to a copy that goes with it. */
  disk: string;
}

/** Why no machine can be booted here, in words for the one who runs the tests; undefined when it can. */
export function missingForVm(): string | undefined {
  const needed = ["qemu-system-x86_64", "mke2fs", "busybox", "setpriv", ...programs];
  const missing = needed.filter((name) => programPath(name) === null);
  if (missing.length > 0) return `${missing.join(", ")} not installed (scripts/vm-setup.sh)`;
  if (!existsSync(join(kernelDirectory, "vmlinuz"))) return `no kernel in ${cache} (scripts/vm-setup.sh)`;
  if (!existsSync(davitBinary)) return `${davitBinary} is not built (scripts/build.sh)`;
  return undefined;
}

/** Makes the files, or finds those that were made from the same. */
export async function bootFiles(): Promise<BootFiles> {
  const sources = await listSources();
  const directory = join(cache, `disk-${fingerprint(sources)}`);
  const files = {
    kernel: join(kernelDirectory, "vmlinuz"),
    initrd: join(directory, "initrd"),
    disk: join(directory, "disk.img"),
  };
  if (existsSync(directory)) return files;

  const lockPath = join(cache, "lock");
  const lock = openLockFile(lockPath);
  try {
    while (!tryLock(lock, "exclusive", lockPath)) await Bun.sleep(50);
    if (existsSync(directory)) return files;
    const making = mkdtempSync(join(cache, "making-"));
    try {
      makeInitrd(making);
      makeDisk(making, sources);
      // A disk takes 250 MB: one is kept.
      for (const old of readdirSync(cache).filter((name) => name.startsWith("disk-"))) {
        rmSync(join(cache, old), { recursive: true });
      }
      renameSync(making, directory);
    } finally {
      rmSync(making, { recursive: true, force: true });
    }
    return files;
  } finally {
    closeLockFile(lock);
  }
}

interface Sources {
  /** From path on the disk to path here. */
  files: ReadonlyMap<string, string>;
}

async function listSources(): Promise<Sources> {
  const files = new Map<string, string>([
    ["/usr/bin/davit", davitBinary],
    ["/busybox.tar", await busyboxArchive()],
    ["/bin/busybox", realpathSync(programPath("busybox") ?? "")],
    ["/sbin/init", join(guest, "init.sh")],
    ["/etc/os-release", "/etc/os-release"],
  ]);
  for (const name of programs) {
    const path = programPath(name);
    if (path !== null) files.set(`/usr/bin/${name}`, path);
  }
  const found = [...files.values(), ...libraries.map(libraryPath)];
  for (const path of found) for (const library of librariesOf(path)) files.set(library, library);
  for (const path of libraries.map(libraryPath)) files.set(path, path);
  return { files };
}

function programPath(name: string): string | null {
  return Bun.which(name, { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin` });
}

function libraryPath(name: string): string {
  const path = command(["ldconfig", "-p"]).match(new RegExp(`^\\s${name} .*x86-64.* => (\\S+)$`, "m"))?.[1];
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

/** Absolute paths, the dynamic linker's among them. Nothing for what is not dynamically linked. */
function librariesOf(path: string): string[] {
  const { stdout } = Bun.spawnSync(["ldd", path], { stderr: "ignore" });
  return [...stdout.toString().matchAll(/(?:=> |^\s)(\/\S+) \(0x/gm)].map((match) => match[1] ?? "");
}

/** Changes with whatever the files are made of. */
function fingerprint({ files }: Sources): string {
  const hash = new Bun.CryptoHasher("sha256");
  const own = [import.meta.path, join(guest, "boot.sh"), join(guest, "init.sh")];
  for (const path of own) hash.update(readFileSync(path));
  for (const [target, path] of [...files, ["kernel", join(kernelDirectory, "vmlinuz")] as const]) {
    const { size, mtimeMs } = statSync(path);
    hash.update(`${target} ${path} ${size} ${mtimeMs}\n`);
  }
  return hash.digest("hex").slice(0, 16);
}

function makeInitrd(directory: string): void {
  const root = join(directory, "initrd.d");
  mkdirSync(join(root, "bin"), { recursive: true });
  mkdirSync(join(root, "modules"));
  copyFileSync(realpathSync(programPath("busybox") ?? ""), join(root, "bin", "busybox"));
  symlinkSync("busybox", join(root, "bin", "sh"));
  copyFileSync(join(guest, "boot.sh"), join(root, "init"));
  chmodSync(join(root, "init"), 0o755);
  for (const name of diskModules) {
    const [path] = globSync(`lib/modules/*/kernel/**/${name}.ko`, { cwd: kernelDirectory });
    if (path === undefined) throw new Error(`the kernel in ${kernelDirectory} has no module ${name}`);
    copyFileSync(join(kernelDirectory, path), join(root, "modules", `${name}.ko`));
  }
  writeFileSync(join(root, "modules", "order"), diskModules.map((name) => `${name}.ko\n`).join(""));
  command(["sh", "-c", `cd '${root}' && find . | busybox cpio -o -H newc >../initrd`]);
  rmSync(root, { recursive: true });
}

function makeDisk(directory: string, { files }: Sources): void {
  const root = join(directory, "disk.d");
  for (const name of ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "var/lib"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  for (const [target, path] of files) {
    mkdirSync(dirname(join(root, target)), { recursive: true });
    copyFileSync(path, join(root, target));
    chmodSync(join(root, target), 0o755);
  }
  for (const applet of command(["busybox", "--list"]).split("\n")) {
    const taken = applet === "" || applet === "busybox" || programs.includes(applet);
    if (!taken) symlinkSync("/bin/busybox", join(root, "bin", applet));
  }
  // The kernel asks for modules by this name.
  rmSync(join(root, "sbin", "modprobe"), { force: true });
  symlinkSync("/bin/busybox", join(root, "sbin", "modprobe"));
  writeFileSync(join(root, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(root, "etc", "group"), "root:x:0:\n");
  writeFileSync(join(root, "etc", "resolv.conf"), "nameserver 192.0.2.53\n");
  writeFileSync(join(root, "etc", "hosts"), "127.0.0.1 localhost\n");
  copyModules(root);
  const disk = join(directory, "disk.img");
  writeFileSync(disk, "");
  truncateSync(disk, diskSize);
  command(["mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,root_owner=0:0", "-d", root, disk]);
  rmSync(root, { recursive: true });
}

function copyModules(root: string): void {
  const [from] = globSync(join(kernelDirectory, "lib", "modules", "*"));
  if (from === undefined) throw new Error(`the kernel in ${kernelDirectory} has no modules`);
  const to = join(root, "lib", "modules", basename(from));
  mkdirSync(to, { recursive: true });
  for (const list of globSync(join(from, "modules.*"))) copyFileSync(list, join(to, basename(list)));
  for (const name of moduleDirectories) {
    mkdirSync(dirname(join(to, "kernel", name)), { recursive: true });
    command(["cp", "-r", join(from, "kernel", name), join(to, "kernel", name)]);
  }
}

function command(words: string[]): string {
  const [name = "", ...args] = words;
  const { exitCode, stdout, stderr } = Bun.spawnSync([programPath(name) ?? name, ...args]);
  if (exitCode !== 0) throw new Error(`${words.join(" ")} failed: ${stderr.toString()}`);
  return stdout.toString();
}
