import { messageOf } from "../../core/errors.ts";
import { hubKey, serverKey } from "../../registry/credentials/index.ts";
import type { Command } from "../command.ts";
import { userCredentials } from "./credentials.ts";

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
    await io.stdout.write(`Removing login credentials for ${server}\n`);
    try {
      await (await userCredentials(invocation)).erase(serverKey(given));
    } catch (error) {
      await io.stderr.write(`WARNING: could not erase credentials:\n${server}: ${messageOf(error)}\n`);
    }
    return 0;
  },
};
