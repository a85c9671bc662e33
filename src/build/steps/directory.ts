/** WORKDIR: the directory is made, if it is not there, and belongs to the user. */
import { closeFile } from "../../linux/paths.ts";
import { resolveUser } from "../../runtime/users.ts";
import type { DirectoryOperation } from "../graph/operations.ts";
import { TargetTree } from "./target.ts";

/** @throws InvalidParameter when the user is unknown; StepFailure when something is in the way */
export function directoryStep({ path, user }: DirectoryOperation, root: string): void {
  const owner = user === "" ? undefined : resolveUser(root, user);
  using target = new TargetTree(root, owner);
  closeFile(target.open(path));
}
