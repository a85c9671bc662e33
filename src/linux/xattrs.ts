/** Extended attributes, of paths (symlinks themselves, never followed) and of descriptors. */
import { errnoNumber } from "./errno.ts";
import { check, cstring, errno, linuxError, ptr, symbols } from "./libc.ts";
import { pathBytes } from "./paths.ts";

const { ENODATA, ERANGE, EOPNOTSUPP } = errnoNumber;
const empty = new Uint8Array(1);

/** A path on the host, or an open descriptor (not O_PATH). */
export type XattrSubject = string | number;

export function setXattr(subject: XattrSubject, name: string, value: Uint8Array): void {
  const attribute = cstring(name);
  const data = value.length === 0 ? empty : value;
  if (typeof subject === "number") {
    check(symbols.fsetxattr(subject, ptr(attribute), ptr(data), value.length, 0), `setxattr ${name}`);
    return;
  }
  const path = pathBytes(subject);
  check(
    symbols.lsetxattr(ptr(path), ptr(attribute), ptr(data), value.length, 0),
    `setxattr ${name}`,
    subject,
  );
}

/** The value, or undefined when there is none of that name. */
export function getXattr(subject: XattrSubject, name: string): Uint8Array | undefined {
  const attribute = cstring(name);
  const bytes = readGrowing(subject, `getxattr ${name}`, (buffer) =>
    typeof subject === "number"
      ? symbols.fgetxattr(subject, ptr(attribute), ptr(buffer), buffer.length)
      : withPath(subject, (path) => symbols.lgetxattr(path, ptr(attribute), ptr(buffer), buffer.length)),
  );
  return bytes;
}

/** Names of all attributes; none where the file system has no xattrs. */
export function listXattrs(subject: XattrSubject): string[] {
  const bytes = readGrowing(subject, "listxattr", (buffer) =>
    typeof subject === "number"
      ? symbols.flistxattr(subject, ptr(buffer), buffer.length)
      : withPath(subject, (path) => symbols.llistxattr(path, ptr(buffer), buffer.length)),
  );
  if (bytes === undefined || bytes.length === 0) return [];
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength - 1)
    .toString("utf8")
    .split("\0");
}

/** No error when it is not there. */
export function removeXattr(path: string, name: string): void {
  const subject = pathBytes(path);
  const attribute = cstring(name);
  if (symbols.lremovexattr(ptr(subject), ptr(attribute)) === 0) return;
  const code = errno();
  if (code !== ENODATA) throw linuxError(`removexattr ${name}`, code, path);
}

function withPath<Result>(path: string, call: (pointer: ReturnType<typeof ptr>) => Result): Result {
  const bytes = pathBytes(path);
  return call(ptr(bytes));
}

const scratch = new Uint8Array(4096);
const largestValue = 65536;

function readGrowing(
  subject: XattrSubject,
  call: string,
  read: (buffer: Uint8Array) => number | bigint,
): Uint8Array | undefined {
  for (let buffer = scratch; ; buffer = new Uint8Array(largestValue)) {
    const length = Number(read(buffer));
    if (length >= 0) return buffer.slice(0, length);
    const code = errno();
    if (code === ENODATA || code === EOPNOTSUPP) return undefined;
    if (code !== ERANGE || buffer.length >= largestValue) {
      throw linuxError(call, code, typeof subject === "string" ? subject : undefined);
    }
  }
}
