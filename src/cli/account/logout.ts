import { messageOf } from "../../core/errors.ts";
import { type Credentials, hubKey, serverKey } from "../../registry/credentials/index.ts";
import type { Command, Invocation } from "../command.ts";
import { userCredentials } from "./credentials.ts";
import { hubDevice } from "./registries.ts";

export const logout: Command = {
  synopsis: "[SERVER]",
  summary: "Log out from a registry",
  description: "Log out from a registry.\nIf no server is specified, it is Docker Hub.",
  count: { least: 0, most: 1 },
  examples: ["logout registry.example.com"],
  define: () => async (invocation) => {
    const { args, io } = invocation;
    const given = args[0] ?? "";
    const server = given === "" ? hubKey : given.replace(/^https?:\/\//, "").replace(/\/.*$/s, "");
    const credentials = await userCredentials(invocation);
    if (server === hubKey) await forgetTokens(invocation, credentials);
    await io.stdout.write(`Removing login credentials for ${server}\n`);
    try {
      await credentials.erase(serverKey(given));
    } catch (error) {
      await io.stderr.write(`WARNING: could not erase credentials:\n${server}: ${messageOf(error)}\n`);
    }
    return 0;
  },
};

/** What a login with a browser has left. */
async function forgetTokens(invocation: Invocation, credentials: Credentials): Promise<void> {
  const { logOutOfBrowser } = await import("./browser-login.ts");
  try {
    await logOutOfBrowser(credentials, () => hubDevice(invocation));
  } catch (error) {
    await invocation.io.stderr.write(`WARNING: ${messageOf(error)}\n`);
  }
}
