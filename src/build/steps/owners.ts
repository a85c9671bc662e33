/** `--chown` and USER as numbers, by the tree's own /etc/passwd and /etc/group. */
import { resolveUser } from "../../runtime/users.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * @param root where the tree is mounted. @returns undefined when nobody is named.
 * @throws InvalidParameter `unable to find user x: no matching entries in passwd file`
 */
export function resolveOwner(root: string, text: string): Owner | undefined {
  if (text === "") return undefined;
  const [user = "", group = ""] = text.split(":");
  // A number stands for itself, and where no group is named for its group too. Root has its number everywhere.
  const [uidGiven, gidGiven] = [user, group === "" ? user : group].map(asNumber);
  if (uidGiven !== undefined && gidGiven !== undefined) return { uid: uidGiven, gid: gidGiven };
  const { uid, gid } = resolveUser(root, text);
  return { uid, gid };
}

function asNumber(text: string): number | undefined {
  if (text === "root") return 0;
  return /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined;
}
