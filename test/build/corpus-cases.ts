/** How the Dockerfiles of the corpus are built, where there is more to it than `build .`. */
import {
  chmodSync,
  chownSync,
  cpSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setXattr } from "../../src/linux/xattrs.ts";

export interface CorpusBuild {
  /** Of several builds of one Dockerfile. */
  readonly title?: string;
  readonly buildArguments?: Readonly<Record<string, string>>;
  readonly target?: string;
  readonly secrets?: Readonly<Record<string, string>>;
  /** Forward the agent. */
  readonly ssh?: boolean;
  readonly entitlements?: readonly string[];
  /** Unix seconds. All times are compared then. */
  readonly epoch?: number;
  /** Both have to refuse it with a message that holds this. */
  readonly failure?: string;
}

/** What cannot be kept in a repository is added to the context here. */
type Preparation = (context: string) => void;

const corpus = join(import.meta.dir, "corpus");

/** Of 2017: before any test, and at another second for each file. */
const oldest = 1_490_000_000;

const preparations: Readonly<Record<string, Preparation>> = {
  "copy-names": (context) => {
    const names = ["new\nline", "tab\there", "umläut", "back\\slash", "*star", "quo'te", "x".repeat(250)];
    for (const name of [...names, "日本語-line"]) writeFileSync(join(context, "names", name), name);
  },
  "copy-special-files": (context) => {
    const at = (name: string) => join(context, "special", name);
    const run = (...words: string[]) => {
      const done = Bun.spawnSync(words);
      if (!done.success) throw new Error(`${words.join(" ")}: ${done.stderr.toString()}`);
    };
    run("mkfifo", "--mode=640", at("fifo"));
    run("mknod", "--mode=666", at("null"), "c", "1", "3");
    for (const [name, mode] of [
      ["setuid", 0o4755],
      ["setgid", 0o2711],
      ["secret", 0o000],
    ] as const) {
      writeFileSync(at(name), name);
      chownSync(at(name), 1234, 567);
      chmodSync(at(name), mode);
    }
    mkdirSync(at("sticky"));
    chmodSync(at("sticky"), 0o1777);
    mkdirSync(at("group"));
    chmodSync(at("group"), 0o2750);
    writeFileSync(at("hard1"), "linked");
    linkSync(at("hard1"), at("hard2"));
    linkSync(at("hard1"), at("sticky/hard3"));
    symlinkSync("hard1", at("soft"));
    linkSync(at("soft"), at("soft2"));
    setXattr(at("plain"), "user.one", Buffer.from("1"));
    setXattr(at("sticky"), "user.two", Buffer.from("2"));
    setXattr(at("setgid"), "security.capability", netBindService);
    writeFileSync(at("sparse"), "");
    truncateSync(at("sparse"), 300_000);
  },
  // A link that leads nowhere outside of the context.
  "copy-link-out": (context) => symlinkSync("/two.txt", join(context, "links", "absolute")),
  "copy-empty": (context) => mkdirSync(join(context, "empty")),
  // So many that they are not all copied at once.
  "copy-many": (context) => {
    const top = join(context, "many");
    for (const directory of ["", "a", "b", "c", "c/deep"]) {
      mkdirSync(join(top, directory));
      for (let count = 0; count < 80; count += 1) {
        const name = join(top, directory, String(count));
        writeFileSync(name, `${directory} ${count}`, { mode: count % 7 === 0 ? 0o755 : 0o644 });
        if (count % 9 === 0) linkSync(name, join(top, directory, `hard-${count}`));
        if (count % 11 === 3) symlinkSync(String(count - 1), join(top, directory, `link-${count}`));
      }
    }
    linkSync(join(top, "a", "1"), join(top, "c", "deep", "far"));
    chmodSync(join(top, "c"), 0o2711);
  },
  "copy-large": (context) => {
    writeFileSync(join(context, "large"), Buffer.alloc(700_001, "some text that repeats itself, "));
    writeFileSync(join(context, "holes"), "begins");
    truncateSync(join(context, "holes"), 2_000_000);
  },
};

/** `cap_net_bind_service=ep`, as the kernel keeps it. */
const netBindService = Buffer.from("0100000200040000000000000000000000000000", "hex");

/** Amid the times of the contexts. */
const epoch = oldest + 3;
const timed: readonly CorpusBuild[] = [{}, { title: "with SOURCE_DATE_EPOCH", epoch }];

const builds: Readonly<Record<string, readonly CorpusBuild[]>> = {
  "run-mount-secret": [{}, { title: "with the secret", secrets: { token: "a secret" } }],
  "run-mount-ssh": [{}, { title: "with an agent", ssh: true }],
  "run-mount-owned": [{ secrets: { token: "a secret" } }],
  "run-insecure": [{ entitlements: ["security.insecure", "network.host"] }],
  "from-target": [
    {},
    { title: "up to a stage", target: "middle" },
    { title: "with a stage from an argument", buildArguments: { STAGE: "middle" }, target: "chosen" },
  ],
  "arg-given": [
    {},
    {
      title: "with arguments",
      buildArguments: {
        DEFAULTED: "given",
        GIVEN: "a b",
        EMPTY: "",
        NONE: "",
        UNKNOWN: "x",
        TARGETARCH: "mine",
      },
    },
  ],
  "add-archive": timed,
  "add-git": timed,
  "add-url": timed,
  "copy-files": timed,
  "copy-from-times": timed,
  "copy-heredoc-several": timed,
  "copy-link": timed,
  "copy-over-tree": timed,
  "copy-parents": timed,
  onbuild: timed,
  "run-deletes": timed,
  workdir: timed,
  "copy-file-over-directory": [{ failure: "cannot replace to directory" }],
  "copy-directory-over-file": [{ failure: "cannot copy to non-directory" }],
  "copy-directory-over-link": [{ failure: "cannot copy to non-directory" }],
  "copy-missing": [{ failure: '"/no-such.txt": not found' }],
  "add-url-missing": [{ failure: "invalid response status 404" }],
  "add-url-wrong-checksum": [{ failure: "digest mismatch sha256:" }],
  "user-unknown": [{ failure: "unable to find user nosuchuser: no matching entries in passwd file" }],
  "add-archive-truncated": [{ failure: "unexpected EOF" }],
  "workdir-on-file": [{ failure: "not a directory" }],
  "dockerignore-excluded": [{ failure: '"/one.txt": not found' }],
  "run-mount-missing": [{ failure: '"/no-such-directory": not found' }],
  "run-secret-required": [{ failure: "secret absent: not found" }],
  "run-fails": [
    { failure: 'process "/bin/sh -c echo before && exit 7" did not complete successfully: exit code: 7' },
  ],
  "run-signal": [{ failure: "did not complete successfully: exit code: 137" }],
  "run-no-such-program": [{ failure: "/no/such/program" }],
};

/** @returns how a Dockerfile is built; once, by itself, unless there is something to say. */
export function buildsOf(name: string): readonly CorpusBuild[] {
  return builds[name] ?? [{}];
}

/** Copies a context, with the same times wherever the corpus lies. */
export function prepareContext(name: string, directory: string): void {
  cpSync(join(corpus, name), directory, { recursive: true, verbatimSymlinks: true });
  preparations[name]?.(directory);
  let seconds = oldest;
  const walk = (path: Buffer): void => {
    const names = readdirSync(path, { encoding: "buffer" }).sort((left, right) => left.compare(right));
    for (const name of names) {
      const below = Buffer.concat([path, Buffer.from("/"), name]);
      if (lstatSync(below).isDirectory()) walk(below);
      seconds += 1;
      lutimesSync(below, seconds, seconds);
    }
  };
  walk(Buffer.from(directory));
  lutimesSync(directory, oldest, oldest);
}
