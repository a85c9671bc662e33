/** What a person gets wrong: Docker's words and exit code, and everything as it was before. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DavitInstance, newInstance } from "../harness/instance.ts";
import { expectStateAgain, stateOf } from "./world.ts";

const image = "davit-busybox";
const seeHelp = (command: string) => `\n\nRun 'davit ${command} --help' for more information\n`;
const refused =
  "failed to create task for container: failed to create shim task: OCI runtime create failed: ";
const cannotStart = `${refused}runc create failed: unable to start container process: `;

interface Mistake {
  title: string;
  args: readonly string[];
  code: number;
  stderr: string | RegExp;
  /** Docker sends it along the command's own stdout. */
  isOnStdout?: boolean;
}

/** Of an instance in which `holder` runs and has published a port. */
const mistakes: readonly Mistake[] = [
  {
    title: "an image that is not there",
    args: ["run", "--pull", "never", "no-such-image"],
    code: 125,
    stderr: `davit: Error response from daemon: No such image: no-such-image:latest${seeHelp("run")}`,
  },
  {
    title: "an image of a registry that is not there",
    args: ["run", "127.0.0.1:9/no-such-image"],
    code: 125,
    stderr:
      /^Unable to find image '127\.0\.0\.1:9\/no-such-image:latest' locally\ndavit: Error response from daemon: Get "http:\/\/127\.0\.0\.1:9\/v2\/": dial tcp 127\.0\.0\.1:9: connect: connection refused\n\nRun 'davit run/,
  },
  {
    title: "a command that is not there",
    args: ["run", "--rm", image, "no-such-command"],
    code: 127,
    stderr: `davit: Error response from daemon: ${cannotStart}exec: "no-such-command": executable file not found in $PATH: unknown${seeHelp("run")}`,
  },
  {
    title: "a file that is no program",
    args: ["run", "--rm", image, "/etc/passwd"],
    code: 126,
    stderr: `davit: Error response from daemon: ${cannotStart}exec: "/etc/passwd": permission denied: unknown${seeHelp("run")}`,
  },
  {
    title: "a user that is not there",
    args: ["run", "--rm", "--user", "nosuch", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: unable to find user nosuch: no matching entries in passwd file${seeHelp("run")}`,
  },
  {
    title: "a group that is not there",
    args: ["run", "--rm", "--user", "user:nosuch", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: unable to find group nosuch: no matching entries in group file${seeHelp("run")}`,
  },
  {
    title: "a mount source that is not there",
    args: ["run", "--rm", "-v", "fresh:/v", "--mount", "type=bind,src=/no/such,dst=/x", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: invalid mount config for type "bind": bind source path does not exist: /no/such${seeHelp("run")}`,
  },
  {
    title: "a file mounted on a directory",
    args: ["run", "--rm", "-v", "/etc/passwd:/etc", image, "true"],
    code: 126,
    stderr: /not a directory: unknown: Are you trying to mount a directory onto a file \(or vice-versa\)\?/,
  },
  {
    title: "a name in use",
    args: ["run", "--name", "holder", image, "true"],
    code: 125,
    stderr:
      /^davit: Error response from daemon: Conflict\. The container name "\/holder" is already in use by container "[0-9a-f]{64}"\. You have to remove \(or rename\) that container to be able to reuse that name\.\n\nRun 'davit run --help'/,
  },
  {
    title: "a network that is not there",
    args: ["run", "--rm", "--network", "nosuch", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: network nosuch not found${seeHelp("run")}`,
  },
  {
    title: "another container's network, where there is no such container",
    args: ["run", "--rm", "--network", "container:nosuch", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: No such container: nosuch${seeHelp("run")}`,
  },
  {
    title: "another container's processes, where there is no such container",
    args: ["run", "--rm", "--pid", "container:nosuch", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: No such container: nosuch${seeHelp("run")}`,
  },
  {
    title: "less memory than a container needs",
    args: ["run", "--memory", "1m", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: Minimum memory limit allowed is 6MB${seeHelp("run")}`,
  },
  {
    title: "more CPUs than there are",
    args: ["run", "--cpus", "10000", image, "true"],
    code: 125,
    stderr: /Range of CPUs is from 0\.01 to \d+\.00, as there are only \d+ CPUs available/,
  },
  {
    title: "a device that is not there",
    args: ["run", "--rm", "--device", "/dev/nosuch", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: error gathering device information while adding custom device "/dev/nosuch": no such file or directory${seeHelp("run")}`,
  },
  {
    title: "a runtime that is not there",
    args: ["run", "--rm", "--runtime", "nosuch", image, "true"],
    code: 125,
    stderr: `davit: Error response from daemon: unknown or invalid runtime name: nosuch${seeHelp("run")}`,
  },
  {
    title: "a flag with a letter missing",
    args: ["run", "--memry", "64m", image],
    code: 125,
    stderr: `unknown flag: --memry\nDid you mean --memory?\n\nUsage:  davit run [OPTIONS] IMAGE [COMMAND] [ARG...]${seeHelp("run")}`,
  },
  {
    title: "a flag before the command",
    args: ["--rm", "run", image],
    code: 125,
    stderr: /^unknown flag: --rm\n\nUsage: {2}davit \[OPTIONS\] COMMAND/,
  },
  {
    title: "a command of davit's with letters swapped",
    args: ["rnu", image],
    code: 1,
    stderr:
      "davit: unknown command: davit rnu\n\nDid you mean 'davit run'?\n\nRun 'davit --help' for more information\n",
  },
  {
    title: "exec of a command that is not there",
    isOnStdout: true,
    args: ["exec", "holder", "no-such-command"],
    code: 127,
    stderr:
      'OCI runtime exec failed: exec failed: unable to start container process: exec: "no-such-command": executable file not found in $PATH: unknown\r\n',
  },
  {
    title: "exec of a file that is no program",
    isOnStdout: true,
    args: ["exec", "holder", "/etc/passwd"],
    code: 126,
    stderr:
      'OCI runtime exec failed: exec failed: unable to start container process: exec: "/etc/passwd": permission denied: unknown\r\n',
  },
  {
    title: "exec as a user that is not there",
    args: ["exec", "--user", "nosuch", "holder", "true"],
    code: 1,
    stderr: "Error response from daemon: unable to find user nosuch: no matching entries in passwd file\n",
  },
  {
    title: "removal of a container that runs",
    args: ["rm", "holder"],
    code: 1,
    stderr:
      'Error response from daemon: cannot remove container "holder": container is running: stop the container before removing or force remove\n',
  },
  {
    title: "renaming to a name that is no name",
    args: ["rename", "holder", "a/b"],
    code: 1,
    stderr: /Invalid container name \(a\/b\), only \[a-zA-Z0-9\]\[a-zA-Z0-9_\.-\] are allowed/,
  },
  {
    title: "removal of an image in use",
    args: ["rmi", image],
    code: 1,
    stderr:
      /^Error response from daemon: conflict: unable to remove repository reference "davit-busybox" \(must force\) - container [0-9a-f]{12} is using its referenced image [0-9a-f]{12}\n$/,
  },
  {
    title: "removal of a volume in use",
    args: ["volume", "rm", "held"],
    code: 1,
    stderr: /remove held: volume is in use - \[[0-9a-f]{64}\]/,
  },
  {
    title: "loading what is no archive",
    args: ["load", "--input", "nonsense.tar"],
    code: 1,
    stderr: /^[^\n]+\n$/,
  },
];

const verbs = [
  "start",
  "stop",
  "restart",
  "kill",
  "pause",
  "unpause",
  "wait",
  "port",
  "top",
  "logs",
  "attach",
];

async function withHolder(): Promise<DavitInstance> {
  const davit = await newInstance();
  try {
    await davit.output([
      "run",
      "-d",
      "--name",
      "holder",
      "-v",
      "held:/v",
      "-p",
      "127.0.0.1::80",
      image,
      "sleep",
      "600",
    ]);
    writeFileSync(join(davit.directory, "nonsense.tar"), "not an archive ".repeat(100));
    return davit;
  } catch (error) {
    await davit[Symbol.asyncDispose]();
    throw error;
  }
}

test("mistakes get Docker's words and exit code, and change nothing", async () => {
  await using davit = await withHolder();
  const before = await stateOf(davit);
  const faults: string[] = [];
  for (const { title, args, code, stderr, isOnStdout } of mistakes) {
    const finished = await davit.run(args);
    const [said, other] = isOnStdout
      ? [finished.stdout, finished.stderr]
      : [finished.stderr, finished.stdout];
    const isSaid = typeof stderr === "string" ? said === stderr : stderr.test(said);
    if (finished.code !== code || !isSaid || other !== "") {
      faults.push(
        `${title}: exit code ${finished.code} (wanted ${code})\n${finished.stdout}${finished.stderr}`,
      );
    }
    await expectStateAgain(davit, before).catch((error) => faults.push(`${title}: ${error}`));
  }
  expect(faults.join("\n")).toBe("");
}, 120_000);

test("a container that is not there is named by every verb", async () => {
  await using davit = await newInstance({ busybox: false });
  for (const verb of verbs) {
    const { code, stdout, stderr } = await davit.run([verb, "nosuch"]);
    expect({ verb, code, stdout }).toEqual({ verb, code: 1, stdout: "" });
    expect(stderr).toStartWith("Error response from daemon: No such container: nosuch\n");
  }
  expect(await davit.run(["exec", "nosuch", "true"])).toEqual({
    code: 1,
    stdout: "",
    stderr: "Error response from daemon: No such container: nosuch\n",
  });
}, 60_000);

describe("a port in use", () => {
  const failure =
    /^davit: Error response from daemon: driver failed programming external connectivity on endpoint [a-z_]+ \([0-9a-f]{64}\): /;

  test("by another container", async () => {
    await using davit = await withHolder();
    const port = (await davit.output(["port", "holder", "80"])).replace("127.0.0.1:", "");
    const before = await stateOf(davit);
    const again = ["-p", `127.0.0.1:${port}:80`, image, "true"];
    const { code, stderr } = await davit.run(["run", "--rm", ...again]);
    expect(code).toBe(125);
    expect(stderr).toMatch(failure);
    expect(stderr).toContain(`Bind for 127.0.0.1:${port} failed: port is already allocated\n`);
    await expectStateAgain(davit, before);

    // Without --rm the container stays, as in Docker, and can be started once the port is free.
    expect((await davit.run(["run", "--name", "later", ...again])).code).toBe(125);
    expect(
      await davit.output(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "later"]),
    ).toBe("created 128");
    await davit.output(["rm", "--force", "holder"]);
    await davit.output(["start", "--attach", "later"]);
    await davit.output(["rm", "later"]);
  }, 60_000);

  test("by a process of the host", async () => {
    await using davit = await newInstance();
    const before = await stateOf(davit);
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    const publish = ["run", "--rm", "-p", `${listener.port}:80`, image, "echo", "works"];
    try {
      const { code, stderr } = await davit.run(publish);
      expect(code).toBe(125);
      expect(stderr).toMatch(failure);
      expect(stderr).toContain(
        `Error starting userland proxy: listen tcp4 0.0.0.0:${listener.port}: bind: address already in use\n`,
      );
      const after = await stateOf(davit);
      // The bridge and its parents came with the first try; they belong to the instance.
      expect({ ...after, links: [] }).toEqual({ ...before, links: [] });
    } finally {
      listener.stop(true);
    }
    expect(await davit.output(publish)).toBe("works");
  }, 60_000);
});
