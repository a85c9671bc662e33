/** Users and groups by the image's own /etc/passwd and /etc/group, opened so that no link leads out of it. */

export interface ResolvedUser {
  uid: number;
  gid: number;
  additionalGids: number[];
  /** Home directory by passwd; `/` when unknown. */
  home: string;
}

/**
 * Resolves `user`, `uid`, `user:group`, `uid:gid` or empty (root).
 * @param groupAdd further groups by name or number (`--group-add`).
 * @throws InvalidParameter `unable to find user x: no matching entries in passwd file`.
 */
export declare function resolveUser(rootfs: string, user: string, groupAdd?: readonly string[]): ResolvedUser;
