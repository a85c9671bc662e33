/**
 * `--ssh id=key`: an agent of the build's own that holds keys, by OpenSSH's programs. It ends with the build, also when
 * that is killed; the keys come to it through a pipe and lie in no file.
 */

import { InvalidParameter, Unavailable } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import { existsSync } from "../../linux/files.ts";
import { ownDirectory } from "../context/own-directory.ts";
import type { BuildRooms } from "../rooms.ts";

export interface SshKey {
  /** What messages call it. */
  readonly name: string;
  /** PEM or OpenSSH's own form, without a passphrase. */
  readonly content: Uint8Array;
}

export interface OwnAgent extends AsyncDisposable {
  /** Path of its socket. */
  readonly socket: string;
}

const longestStart = 5_000;

/**
 * @throws Unavailable when OpenSSH is not installed; InvalidParameter for what is no key, or needs a passphrase
 */
export async function startAgent(
  { instance, searchPath: PATH }: Pick<BuildRooms, "instance" | "searchPath">,
  keys: readonly SshKey[],
): Promise<OwnAgent> {
  const [agent, add] = ["ssh-agent", "ssh-add"].map((name) => programOf(name, PATH));
  if (agent === undefined || add === undefined) throw new Unavailable("OpenSSH is not complete");
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(ownDirectory(instance.dataRoot)).path;
  const socket = join(directory, "agent");
  // When the build is killed the kernel ends its agent, where util-linux is there to ask for it.
  const guard = Bun.which("setpriv", { PATH });
  const command = [
    ...(guard === null ? [] : [guard, "--pdeathsig", "KILL", "--"]),
    agent,
    "-D",
    "-a",
    socket,
  ];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: { PATH } });
  stack.defer(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  const deadline = Date.now() + longestStart;
  while (!existsSync(socket)) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL");
      const said = (await new Response(child.stderr).text()).trim();
      throw new Unavailable(`ssh-agent does not start: ${said || "no socket"}`);
    }
    await Bun.sleep(2);
  }
  for (const key of keys) await addKey(add, socket, key);
  const kept = stack.move();
  return { socket, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function addKey(program: string, socket: string, { name, content }: SshKey): Promise<void> {
  const child = Bun.spawn([program, "-q", "-"], {
    stdin: content,
    stdout: "ignore",
    stderr: "pipe",
    // Nobody is asked for a passphrase.
    env: { SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: "force", SSH_ASKPASS: "/bin/false", DISPLAY: "none" },
  });
  const [exitCode, said] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  if (exitCode === 0) return;
  const reason = said.trim().split("\n").at(-1) ?? "";
  throw new InvalidParameter(
    `failed to parse ${name}: ${reason === "" ? "it is no private key, or has a passphrase" : reason}`,
  );
}

function programOf(name: string, PATH: string): string {
  const program = Bun.which(name, { PATH });
  if (program !== null) return program;
  throw new Unavailable(
    `${name} is not installed, which --ssh with a key needs (apt-get install openssh-client)`,
  );
}
