import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolveUser } from "../../src/runtime/users.ts";

let root = "";
beforeAll(() => {
  root = mkdtempSync("/tmp/davit-test-users-");
  mkdirSync(join(root, "etc"));
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nbroken line\nann:x:1000:1001::/home/ann:/bin/sh\n" +
      "2000:x:3000:3000::/odd:/bin/sh\nann:x:9:9::/second:/bin/sh\nbig:x:99999999999:1::/:\n",
  );
  writeFileSync(
    join(root, "etc/group"),
    "root:x:0:\nstaff:x:50:bob,ann\nann:x:1001:\n77:x:78:\nwheel:x:10:ann\n\n",
  );
});
afterAll(() => rmSync(root, { recursive: true }));

test.each([
  ["", { uid: 0, gid: 0, additionalGids: [0], home: "/root" }],
  ["ann", { uid: 1000, gid: 1001, additionalGids: [1001, 50, 10], home: "/home/ann" }],
  ["1000", { uid: 1000, gid: 1001, additionalGids: [1001, 50, 10], home: "/home/ann" }],
  ["ann:staff", { uid: 1000, gid: 50, additionalGids: [50], home: "/home/ann" }],
  ["ann:4000", { uid: 1000, gid: 4000, additionalGids: [4000], home: "/home/ann" }],
  [":5", { uid: 0, gid: 5, additionalGids: [5], home: "/root" }],
  // A number is always an id, also where a user has it as a name.
  ["2000", { uid: 2000, gid: 0, additionalGids: [0], home: "/" }],
  ["0:77", { uid: 0, gid: 77, additionalGids: [77], home: "/root" }],
])("%p is resolved by the image's own files", (user, expected) => {
  expect(resolveUser(root, user)).toEqual(expected);
});

test("groups can be added by name and number", () => {
  expect(resolveUser(root, "ann", ["wheel", "123"]).additionalGids).toEqual([1001, 50, 10, 123]);
  expect(() => resolveUser(root, "ann", ["nosuch"])).toThrow(
    "Unable to find group nosuch: no matching entries in group file",
  );
});

test.each([
  ["nosuch", "unable to find user nosuch: no matching entries in passwd file"],
  ["big", "unable to find user big: no matching entries in passwd file"],
  ["0:nosuch", "unable to find group nosuch: no matching entries in group file"],
  ["99999999999", "uids and gids must be in range 0-2147483647"],
  ["-1", "uids and gids must be in range 0-2147483647"],
  ["0:99999999999", "uids and gids must be in range 0-2147483647"],
])("%p is refused in Docker's words", (user, words) => {
  expect(() => resolveUser(root, user)).toThrow(words);
});

test("an image without the files still has ids", () => {
  const empty = mkdtempSync("/tmp/davit-test-users-");
  try {
    expect(resolveUser(empty, "12:13")).toEqual({ uid: 12, gid: 13, additionalGids: [13], home: "/" });
    expect(() => resolveUser(empty, "ann")).toThrow("unable to find user ann");
  } finally {
    rmSync(empty, { recursive: true });
  }
});

test("no link leads to the host's files, and a fifo does not hang", () => {
  const hostile = mkdtempSync("/tmp/davit-test-users-");
  const outside = mkdtempSync("/tmp/davit-test-users-");
  try {
    writeFileSync(join(outside, "passwd"), "spy:x:1:1::/:\n");
    mkdirSync(join(hostile, "etc"));
    symlinkSync(join(outside, "passwd"), join(hostile, "etc/passwd"));
    expect(() => resolveUser(hostile, "spy")).toThrow("unable to find user spy");
    rmSync(join(hostile, "etc/passwd"));
    symlinkSync(`../../../../../..${outside}/passwd`, join(hostile, "etc/passwd"));
    expect(() => resolveUser(hostile, "spy")).toThrow("unable to find user spy");
    rmSync(join(hostile, "etc/passwd"));
    expect(Bun.spawnSync(["mkfifo", join(hostile, "etc/passwd")]).exitCode).toBe(0);
    expect(() => resolveUser(hostile, "spy")).toThrow("unable to find user spy");
    // A link inside the image counts from the image's root.
    rmSync(join(hostile, "etc/passwd"));
    mkdirSync(join(hostile, "real"));
    writeFileSync(join(hostile, "real/passwd"), "in:x:7:7::/in:\n");
    symlinkSync("/real/passwd", join(hostile, "etc/passwd"));
    expect(resolveUser(hostile, "in").uid).toBe(7);
  } finally {
    rmSync(hostile, { recursive: true });
    rmSync(outside, { recursive: true });
  }
});
