import type { SystemVersion } from "../../core/objects.ts";
import { apiVersion, version as clientVersion } from "../../core/version.ts";
import { describeFailure } from "../cli.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import { objectFormatFlag } from "../format/flag.ts";
import { NamedObject, objectTemplate } from "../format/object.ts";
import { TemplateExecutionError } from "../format/template/template.ts";

interface ClientVersion {
  Version: string;
  ApiVersion: string;
  Os: string;
  Arch: string;
}

export const version: Command = {
  synopsis: "[OPTIONS]",
  summary: "Show the version information",
  count: noArguments,
  examples: ["version --format '{{.Server.Version}}'"],
  define(flags) {
    const format = objectFormatFlag(flags);
    return async ({ engine, io, program }) => {
      const template = format.value === "" ? undefined : objectTemplate(format.value);
      const client: ClientVersion = {
        Version: clientVersion,
        ApiVersion: apiVersion,
        Os: "linux",
        Arch: process.arch === "x64" ? "amd64" : process.arch,
      };
      let server: SystemVersion | undefined;
      let failure: unknown;
      try {
        server = await (await engine()).system.version();
      } catch (error) {
        failure = error;
      }
      if (template === undefined) await io.stdout.write(describe(program, client, server));
      else {
        try {
          const versions = new NamedObject("system.versionInfo", { Client: client, Server: server ?? null });
          await io.stdout.write(`${template.run(versions)}\n`);
        } catch (error) {
          if (!(error instanceof TemplateExecutionError)) throw error;
          throw new CommandError(failure === undefined ? error.message : describeFailure(failure));
        }
      }
      if (failure !== undefined) throw failure;
      return 0;
    };
  },
};

function describe(program: string, client: ClientVersion, server: SystemVersion | undefined): string {
  const lines = [
    `Client: ${program}`,
    row(" Version", client.Version),
    row(" API version", client.ApiVersion),
    row(" OS/Arch", `${client.Os}/${client.Arch}`),
  ];
  if (server === undefined) return `${lines.join("\n")}\n`;
  const platform = server.Platform?.Name ?? "";
  lines.push("", platform === "" ? "Server:" : `Server: ${platform}`, " Engine:");
  lines.push(
    row("  Version", server.Version),
    row("  API version", `${server.ApiVersion} (minimum version ${server.MinAPIVersion})`),
    row("  Git commit", server.GitCommit),
    row("  Built", server.BuildTime),
    row("  OS/Arch", `${server.Os}/${server.Arch}`),
    row("  Kernel", server.KernelVersion),
  );
  for (const { Name, Version } of server.Components ?? []) {
    if (Name !== "Engine") lines.push(` ${Name}:`, row("  Version", Version));
  }
  return `${lines.filter((line) => !/:\s*$/.test(line) || !line.startsWith("  ")).join("\n")}\n`;
}

function row(name: string, value: string | undefined): string {
  return `${`${name}:`.padEnd(20)}${value ?? ""}`.trimEnd();
}
