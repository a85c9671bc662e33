/** Puts the files of one layer into another, without copying them: their names are linked. */
import {
  changeMode,
  changeOwner,
  linkAt,
  makeDirectoryAt,
  type NodeStatus,
  setTimes,
} from "../../linux/nodes.ts";
import { closeFile, openAt, openDirectory, openFlag } from "../../linux/paths.ts";
import { isDirectory, walkTree } from "../../linux/walk.ts";

interface Level {
  readonly path: string;
  readonly fd: number;
  readonly status: NodeStatus;
}

const directoryFlags = openFlag.readOnly | openFlag.directory | openFlag.noFollow;

/** @param from a committed layer. @param to an empty directory on the same file system */
export function linkTree(from: string, to: string): void {
  const top = openDirectory(to);
  const levels: Level[] = [];
  const leave = () => {
    const level = levels.pop();
    if (level === undefined) return;
    setTimes(level.fd, level.status.mtime, level.status.mtime);
    closeFile(level.fd);
  };
  try {
    for (const { path, directory, name, status } of walkTree(from)) {
      while (levels.length > 0 && !path.startsWith(`${levels.at(-1)?.path}/`)) leave();
      const parent = levels.at(-1)?.fd ?? top;
      if (!isDirectory(status)) {
        linkAt(directory, name, parent, name);
        continue;
      }
      makeDirectoryAt(parent, name, 0o700);
      const fd = openAt(parent, name, directoryFlags);
      levels.push({ path, fd, status });
      changeOwner(fd, status.uid, status.gid);
      changeMode(fd, status.mode & 0o7777);
    }
    while (levels.length > 0) leave();
  } finally {
    for (const { fd } of levels) closeFile(fd);
    closeFile(top);
  }
}
