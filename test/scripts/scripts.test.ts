import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const repository = join(import.meta.dir, "../..");

function run(...command: string[]): { code: number; output: string } {
  const done = Bun.spawnSync(command, { cwd: repository, stdin: "ignore" });
  return { code: done.exitCode, output: `${done.stdout}${done.stderr}` };
}

test("the set-up does nothing and says nothing when all is there", () => {
  expect(run("sh", "scripts/setup.sh", "--tests")).toEqual({ code: 0, output: "" });
});

test("the set-up refuses an argument that it does not know", () => {
  expect(run("sh", "scripts/setup.sh", "--everything")).toEqual({
    code: 2,
    output: "setup: unknown argument --everything (there are --tests, --demo and --examples)\n",
  });
});

test("the build does nothing when the executable is newer than its sources", () => {
  expect(run("sh", "scripts/build.sh").code).toBe(0);
  expect(run("sh", "scripts/build.sh")).toEqual({ code: 0, output: "" });
});

test("the scripts are POSIX shell", () => {
  for (const script of new Bun.Glob("scripts/*.sh").scanSync(repository)) {
    expect(run("dash", "-n", script)).toEqual({ code: 0, output: "" });
  }
});

test("the busybox image is the same each time, and an archive that tar can read", () => {
  const directory = mkdtempSync(join(tmpdir(), "davit-test-busybox-"));
  try {
    const made = [join(directory, "one.tar"), join(directory, "two.tar")].map((path) => {
      expect(run("sh", "scripts/busybox-image.sh", path, "name:tag").code).toBe(0);
      const [image] = JSON.parse(run("tar", "-xOf", path, "manifest.json").output);
      expect(image.RepoTags).toEqual(["name:tag"]);
      return image;
    });
    expect(made[0]).toEqual(made[1]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("every import between rooms points down", async () => {
  const { code, output } = run(process.execPath, "scripts/check-imports.ts");
  expect(output).toMatch(/import directions: \d+ files, 0 faults/);
  expect(code).toBe(0);
});
