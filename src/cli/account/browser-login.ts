/** Logging in to Docker Hub with a browser, and out again. The words are docker's. */
import { DavitError, Unauthorized } from "../../core/errors.ts";
import type { AuthConfig } from "../../core/objects.ts";
import type { DeviceCode, DeviceLogin } from "../../registry/client/device-login.ts";
import { type Credentials, hubKey, tokenKeys } from "../../registry/credentials/index.ts";
import type { Io } from "../io.ts";
import { printNote } from "../note.ts";

/** Linux' ways to a browser, the usual one first. */
const browsers = ["xdg-open", "x-www-browser", "www-browser"];

interface BrowserSession {
  io: Io;
  program: string;
  credentials: Credentials;
}

/**
 * Shows the code, waits until it was entered somewhere, and keeps the tokens.
 * @returns user and personal access token for Docker Hub; undefined when the login could not begin.
 * @throws Unauthorized, Unavailable when it was begun and came to nothing
 */
export async function logInWithBrowser(
  { io, program, credentials }: BrowserSession,
  device: DeviceLogin,
): Promise<AuthConfig | undefined> {
  const code = await begun(device);
  if (code === undefined) return undefined;
  await showCode(io, program, code);
  const stop = new AbortController();
  const enter = openOnEnter(io, code.address, stop.signal);
  try {
    const tokens = await device.wait(code);
    const { username } = tokens;
    await credentials.store({ username, password: tokens.accessToken, serveraddress: tokenKeys.access });
    await credentials.store({ username, password: tokens.refreshToken, serveraddress: tokenKeys.refresh });
    return { username, password: await device.accessToken(tokens), serveraddress: hubKey };
  } finally {
    stop.abort();
    await enter;
  }
}

/** Takes back what such a login has left: the tokens are forgotten, and made worthless. @throws DavitError */
export async function logOutOfBrowser(
  credentials: Credentials,
  device: () => Promise<DeviceLogin>,
): Promise<void> {
  const refresh = (await credentials.get(tokenKeys.refresh))?.password ?? "";
  if (refresh === "") return;
  await credentials.erase(tokenKeys.access);
  await credentials.erase(tokenKeys.refresh);
  try {
    await (await device()).revoke(refresh);
  } catch (error) {
    if (!(error instanceof DavitError)) throw error;
    throw new Unauthorized(
      "credentials erased successfully, but there was a failure to revoke the OAuth refresh token with the tenant: " +
        error.message,
      { cause: error },
    );
  }
}

async function begun(device: DeviceLogin): Promise<DeviceCode | undefined> {
  try {
    return await device.begin();
  } catch (error) {
    // Without the network, behind a proxy: there is another way to log in.
    if (error instanceof DavitError) return undefined;
    throw error;
  }
}

async function showCode(io: Io, program: string, { userCode, address }: DeviceCode): Promise<void> {
  const { stderr } = io;
  const isPlain = !stderr.isTerminal || io.env.TERM === "dumb" || (io.env.NO_COLOR ?? "") !== "";
  const bold = (text: string) => (isPlain ? text : `\x1b[1m${text}\x1b[0m`);
  const underlined = (text: string) => (isPlain ? text : `\x1b[4m${text}\x1b[0m`);
  await stderr.write(`${bold("\nUSING WEB-BASED LOGIN")}\n`);
  const advice = `To sign in with credentials on the command line, use '${program} login -u <username>'`;
  await printNote(io, stderr, `${advice}\n`);
  const [place = ""] = address.split("?");
  await stderr.write(
    `\nYour one-time device confirmation code is: ${bold(userCode)}\n` +
      `${bold("Press ENTER")} to open your browser or submit your device code here: ${underlined(place)}\n` +
      "\nWaiting for authentication in the browser…\n",
  );
}

/** Resolves when nothing is read any more. */
async function openOnEnter(io: Io, address: string, signal: AbortSignal): Promise<void> {
  const chunks = io.stdin.chunks()[Symbol.asyncIterator]();
  const stopped = new Promise<undefined>((resolve) => {
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  for (;;) {
    const next = await Promise.race([chunks.next(), stopped]);
    if (next === undefined || next.done === true) break;
    if (!next.value.includes(0x0a)) continue;
    openBrowser(io, address);
    break;
  }
  // Not awaited: it would wait for what is being read, which is a line that nobody may ever type.
  chunks.return?.().catch(() => undefined);
}

/** Where there is none, the person has the address. */
function openBrowser(io: Io, address: string): void {
  const PATH = io.env.PATH ?? "";
  const program = browsers.map((name) => Bun.which(name, { PATH })).find((path) => path !== null);
  if (program === undefined || program === null) return;
  Bun.spawn([program, address], {
    env: { ...io.env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  }).unref();
}
