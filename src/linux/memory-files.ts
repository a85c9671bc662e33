/** Files that live in memory and have no name: memfd_create(2). */
import { errnoNumber } from "./errno.ts";
import { check, checkRetrying, cstring, errno, linuxError, ptr, symbols } from "./libc.ts";
import { OpenFile, openReading } from "./paths.ts";

const MFD_CLOEXEC = 0x1;
const MFD_ALLOW_SEALING = 0x2;
/** Since Linux 6.3: says that it is to be executed, where the machine's default is that such files are not. */
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL, SHRINK, GROW and WRITE: nobody can change anything of it any more, or the seals themselves. */
const allSeals = 0xf;

const memfdCreate = process.arch === "arm64" ? 279n : 319n;

/**
 * An empty file that can be executed once it is filled, mode 0777; closed on exec. The name is only for show.
 * @throws LinuxError, EACCES where the machine forbids such files (sysctl vm.memfd_noexec)
 */
export function createProgramFile(name: string): number {
  const bytes = cstring(name);
  for (const flags of [MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC, MFD_CLOEXEC | MFD_ALLOW_SEALING]) {
    const fd = Number(symbols.syscall(memfdCreate, ptr(bytes), flags, 0, 0, 0, 0));
    if (fd >= 0) return fd;
    const code = errno();
    // An older kernel, which does not know the flag and needs none.
    if (code !== errnoNumber.EINVAL) throw linuxError("memfd_create", code);
  }
  throw linuxError("memfd_create", errnoNumber.EINVAL);
}

/** Writes all of another file into it, inside the kernel. */
export function fillFrom(fd: number, path: string): void {
  using source = new OpenFile(openReading(path));
  // 2 GB at most at a time: sendfile(2).
  while (checkRetrying(() => symbols.sendfile(fd, source.fd, null, 1 << 30), "sendfile", path) > 0);
}

/** Makes the file's content final. @throws LinuxError EBUSY while somebody has it mapped for writing */
export function sealFile(fd: number): void {
  check(symbols.fcntl(fd, F_ADD_SEALS, allSeals), "fcntl");
}
