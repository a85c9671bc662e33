import { Unauthorized } from "../../core/errors.ts";
import type { AuthConfig } from "../../core/objects.ts";
import type { Engine } from "../../engine/engine.ts";
import type { DeviceLogin } from "../../registry/client/device-login.ts";
import { type Credentials, hubKey, serverKey } from "../../registry/credentials/index.ts";
import { describeFailure } from "../cli.ts";
import { type Command, CommandError } from "../command.ts";
import type { Io } from "../io.ts";
import { printNote } from "../note.ts";
import { Prompter } from "../prompt.ts";
import { userCredentials } from "./credentials.ts";
import { hubDevice } from "./registries.ts";

const aboutAccounts = `Log in with your Docker ID or email address to push and pull images from Docker Hub. \
If you don't have a Docker ID, head over to https://hub.docker.com/ to create one.
You can log in with your password or a Personal Access Token (PAT). Using a limited-scope PAT grants better \
security and is required for organizations using SSO. Learn more at https://docs.docker.com/go/access-tokens/

`;
const aboutTokens = `A Personal Access Token (PAT) can be used instead.
To create a PAT, visit https://app.docker.com/settings

`;
/** A password longer than this is none. Bytes. */
const longestPassword = 64 << 10;

export const login: Command = {
  synopsis: "[OPTIONS] [SERVER]",
  summary: "Authenticate to a registry",
  description: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
  count: { least: 0, most: 1 },
  examples: [
    "login registry.example.com",
    "login -u alice --password-stdin registry.example.com < password.txt",
  ],
  define(flags) {
    const password = flags.string("password", "Password or Personal Access Token (PAT)", { short: "p" });
    const passwordStdin = flags.bool(
      "password-stdin",
      "Take the Password or Personal Access Token (PAT) from stdin",
    );
    const username = flags.string("username", "Username", { short: "u" });
    return async (invocation) => {
      const { args, engine, io, program } = invocation;
      const given = {
        username: username.value.trim(),
        password: await givenPassword(io, {
          username: username.value,
          password: password.changed ? password.value : undefined,
          fromStdin: passwordStdin.value,
        }),
      };
      const session: Session = {
        io,
        program,
        credentials: await userCredentials(invocation),
        engine,
        server: serverKey(args[0] ?? ""),
        device: () => hubDevice(invocation),
      };
      const asked = given.username === "" && given.password === "";
      const status = (asked ? await logInAgain(session) : undefined) ?? (await logInAnew(session, given));
      if (status !== "") await io.stdout.write(`${status}\n`);
      return 0;
    };
  },
};

interface Session {
  io: Io;
  program: string;
  credentials: Credentials;
  engine: () => Promise<Engine>;
  /** As config.json calls the registry. */
  server: string;
  /** For a login with a browser. */
  device: () => Promise<DeviceLogin>;
}

interface Given {
  username: string;
  password: string;
}

/** @throws CommandError in Docker's words for flags that do not go together */
async function givenPassword(
  io: Io,
  flags: { username: string; password: string | undefined; fromStdin: boolean },
): Promise<string> {
  if (flags.password !== undefined) {
    if (flags.fromStdin) {
      throw new CommandError("conflicting options: cannot specify both --password and --password-stdin");
    }
    if (flags.password.trim() === "") throw new CommandError("password is empty");
    await io.stderr.write("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
    return flags.password;
  }
  if (!flags.fromStdin) return "";
  if (flags.username === "") {
    throw new CommandError("the --password-stdin option requires --username to be set");
  }
  return (await readAll(io)).replace(/\r?\n$/, "");
}

async function readAll(io: Io): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of io.stdin.chunks()) {
    size += chunk.length;
    if (size > longestPassword) throw new CommandError(`password is longer than ${longestPassword} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** With what is kept from an earlier login; undefined when there is nothing, or it no longer serves. */
async function logInAgain(session: Session): Promise<string | undefined> {
  const { io, program, server } = session;
  const kept = await session.credentials.get(server);
  if (kept?.username === undefined || kept.username === "" || !kept.password) return undefined;
  await io.stderr.write(`Authenticating with existing credentials... [Username: ${kept.username}]\n`);
  const advice = `'${program} logout' followed by '${program} login'`;
  await printNote(io, io.stderr, `To login with a different account, run ${advice}`);
  await io.stderr.write("\n\n");
  try {
    return await ask(session, { username: kept.username, password: kept.password, serveraddress: server });
  } catch (error) {
    const isRefused = error instanceof Unauthorized;
    await io.stderr.write(
      isRefused
        ? "Stored credentials invalid or expired\n"
        : `Login did not succeed, error: ${describeFailure(error)}\n`,
    );
    return undefined;
  }
}

async function logInAnew(session: Session, given: Given): Promise<string> {
  const { io, server } = session;
  if ((given.username === "" || given.password === "") && !io.stdin.isTerminal) {
    throw new CommandError("Error: Cannot perform an interactive login from a non TTY device");
  }
  if (server === hubKey && given.username === "" && given.password === "" && !isBrowserRefused(io)) {
    const { logInWithBrowser } = await import("./browser-login.ts");
    const auth = await logInWithBrowser(session, await session.device());
    if (auth !== undefined) return await ask(session, auth);
    await io.stderr.write("Failed to start web-based login - falling back to command line login...\n\n");
  }
  const { username, password } = await complete(session, given);
  return await ask(session, { username, password, serveraddress: server });
}

/** As docker's variable has it. */
function isBrowserRefused({ env }: Io): boolean {
  return ["1", "t", "T", "TRUE", "true", "True"].includes(env.DOCKER_CLI_DISABLE_OAUTH_LOGIN ?? "");
}

/** Asks for what was not given. */
async function complete({ io, credentials, server }: Session, given: Given): Promise<Given> {
  const prompter = new Prompter(io);
  let { username, password } = given;
  if (username === "") {
    if (server === hubKey) await io.stdout.write(aboutAccounts);
    const known = (await credentials.get(server))?.username ?? "";
    const answer = await prompter.ask(known === "" ? "Username: " : `Username (${known}): `);
    username = answer === "" ? known : answer;
    if (username === "") throw new CommandError("Error: Non-null Username Required");
  }
  if (password === "") {
    if (server === hubKey) await printNote(io, io.stderr, aboutTokens);
    password = await prompter.askSecretly("Password: ");
    if (password === "") throw new CommandError("Error: Password Required");
  }
  return { username, password };
}

/** Asks the registry, through the engine, and keeps what it took. @returns the engine's word for it */
async function ask({ io, credentials, engine, server }: Session, auth: AuthConfig): Promise<string> {
  const answer = await (await engine()).system.login(auth);
  const { password: _, ...rest } = auth;
  const kept: AuthConfig =
    answer.IdentityToken === "" ? auth : { ...rest, identitytoken: answer.IdentityToken };
  const before = await credentials.get(server);
  const isKnown =
    before?.username === kept.username &&
    before?.password === kept.password &&
    (before?.identitytoken ?? "") === (kept.identitytoken ?? "");
  const place = await credentials.store(kept);
  if (place.kind === "file" && kept.password !== undefined && !isKnown) {
    await io.stderr.write(
      `\nWARNING! Your credentials are stored unencrypted in '${place.path}'.\n` +
        "Configure a credential helper to remove this warning. See\n" +
        "https://docs.docker.com/go/credential-store/\n\n",
    );
  }
  return answer.Status;
}
