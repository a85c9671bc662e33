/** Subvolumes and snapshots of btrfs. linux/include/uapi/linux/btrfs.h, btrfs-ioctl(2). */
import { check, cstring, ptr, symbols } from "./libc.ts";
import { closeFile, openAt, openFlag } from "./paths.ts";

// _IOW(0x94, n, struct btrfs_ioctl_vol_args{,_v2}): both are 4096 bytes.
const BTRFS_IOC_SNAP_DESTROY = 0x5000940fn;
const BTRFS_IOC_SNAP_CREATE_V2 = 0x50009417n;
const BTRFS_IOC_SUBVOL_CREATE_V2 = 0x50009418n;
const BTRFS_IOC_SUBVOL_GETFLAGS = 0x80089419n;
const BTRFS_IOC_SUBVOL_SETFLAGS = 0x4008941an;
const BTRFS_SUBVOL_RDONLY = 2n;

/** The inode number of every subvolume's root (BTRFS_FIRST_FREE_OBJECTID). */
export const subvolumeInode = 256n;

const argumentSize = 4096;
/** Where the name stands: after fd; in the second version after fd, transid, flags and four reserved words. */
const nameOffset = { v1: 8, v2: 56 } as const;

function volumeArguments(version: keyof typeof nameOffset, name: string, fd = 0): Buffer {
  const argument = Buffer.alloc(argumentSize);
  argument.writeBigInt64LE(BigInt(fd), 0);
  argument.set(cstring(name), nameOffset[version]);
  return argument;
}

/** Makes an empty subvolume `name` in an open directory. Name: at most 255 bytes. */
export function createSubvolume(directory: number, name: string): void {
  const argument = volumeArguments("v2", name);
  check(symbols.ioctl(directory, BTRFS_IOC_SUBVOL_CREATE_V2, ptr(argument)), "btrfs subvolume create", name);
}

/** Makes `name` in an open directory: a writable snapshot of the open subvolume `source`, read-only or not. */
export function snapshotSubvolume(source: number, directory: number, name: string): void {
  const argument = volumeArguments("v2", name, source);
  check(symbols.ioctl(directory, BTRFS_IOC_SNAP_CREATE_V2, ptr(argument)), "btrfs subvolume snapshot", name);
}

/**
 * Removes the subvolume `name` of an open directory with all its files; the kernel gives the room back in the
 * background. @throws LinuxError ENOTEMPTY when it has subvolumes inside, ENOENT when it is not there.
 */
export function destroySubvolume(directory: number, name: string): void {
  const argument = volumeArguments("v1", name);
  check(symbols.ioctl(directory, BTRFS_IOC_SNAP_DESTROY, ptr(argument)), "btrfs subvolume delete", name);
}

/** Makes the subvolume `name` of an open directory read-only, or writable again. */
export function setReadOnly(directory: number, name: string, readOnly: boolean): void {
  const fd = openAt(directory, name, openFlag.readOnly | openFlag.directory | openFlag.noFollow);
  try {
    const flags = new BigUint64Array(1);
    check(symbols.ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, ptr(flags)), "btrfs property get", name);
    const before = flags[0] ?? 0n;
    const after = readOnly ? before | BTRFS_SUBVOL_RDONLY : before & ~BTRFS_SUBVOL_RDONLY;
    if (after === before) return;
    flags[0] = after;
    check(symbols.ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, ptr(flags)), "btrfs property set", name);
  } finally {
    closeFile(fd);
  }
}
