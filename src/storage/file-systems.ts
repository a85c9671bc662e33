/** Names of file systems, as Docker's `info` has them. statfs(2), linux/include/uapi/linux/magic.h */
import { fileSystemStatus } from "../linux/disks.ts";

const names: ReadonlyMap<number, string> = new Map([
  [0x61756673, "aufs"],
  [0x9123683e, "btrfs"],
  [0xff534d42, "cifs"],
  [0xf15f, "ecryptfs"],
  [0x65735546, "fuse"],
  [0xef53, "extfs"],
  [0xf2f52010, "f2fs"],
  [0x47504653, "gpfs"],
  [0x6969, "nfs"],
  [0x794c7630, "overlayfs"],
  [0x858458f6, "ramfs"],
  [0x52654973, "reiserfs"],
  [0x517b, "smb"],
  [0x73717368, "squashfs"],
  [0x01021994, "tmpfs"],
  [0x01021997, "9p"],
  [0x786f4256, "vboxfs"],
  [0x58465342, "xfs"],
  [0x2fc12fc1, "zfs"],
  [0xca451a4e, "bcachefs"],
]);

/** The kind of file system that holds `path`. */
export function backingFileSystem(path: string): string {
  return names.get(fileSystemStatus(path).magic) ?? "<unknown>";
}
