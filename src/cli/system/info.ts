import type { SystemInfo } from "../../core/objects.ts";
import { version } from "../../core/version.ts";
import { describeFailure } from "../cli.ts";
import { type Command, CommandError, noArguments } from "../command.ts";
import { objectFormatFlag } from "../format/flag.ts";
import { NamedObject, objectTemplate } from "../format/object.ts";
import { TemplateExecutionError } from "../format/template/template.ts";
import { binarySize } from "../format/units.ts";

export const info: Command = {
  synopsis: "[OPTIONS]",
  summary: "Display system-wide information",
  count: noArguments,
  examples: ["info --format '{{.Driver}}'"],
  define(flags) {
    const format = objectFormatFlag(flags);
    return async ({ engine, io, program }) => {
      const template = format.value === "" ? undefined : objectTemplate(format.value);
      if (template === undefined) await io.stdout.write(`Client: ${program}\n Version:    ${version}\n\n`);
      let server: SystemInfo;
      try {
        server = await (await engine()).system.info();
      } catch (error) {
        if (template === undefined) await io.stdout.write("Server:\n");
        throw new CommandError(describeFailure(error));
      }
      if (template === undefined) {
        await io.stdout.write(describe(server));
        for (const warning of server.Warnings ?? []) await io.stderr.write(`${warning}\n`);
        return 0;
      }
      try {
        await io.stdout.write(`${template.run(new NamedObject("system.dockerInfo", server))}\n`);
        return 0;
      } catch (error) {
        if (!(error instanceof TemplateExecutionError)) throw error;
        await io.stdout.write("\n");
        throw new CommandError(error.message);
      }
    };
  },
};

function describe(info: SystemInfo): string {
  const lines = [
    "Server:",
    ` Containers: ${info.Containers}`,
    `  Running: ${info.ContainersRunning}`,
    `  Paused: ${info.ContainersPaused}`,
    `  Stopped: ${info.ContainersStopped}`,
    ` Images: ${info.Images}`,
    ` Server Version: ${info.ServerVersion}`,
    ` Storage Driver: ${info.Driver}`,
    ...(info.DriverStatus ?? []).map(([name, value]) => `  ${name}: ${value}`),
    ` Logging Driver: ${info.LoggingDriver}`,
    ` Cgroup Driver: ${info.CgroupDriver}`,
    ` Cgroup Version: ${info.CgroupVersion}`,
    ` Runtimes: ${Object.keys(info.Runtimes ?? {})
      .sort()
      .join(" ")}`,
    ` Default Runtime: ${info.DefaultRuntime}`,
    " Security Options:",
    ...(info.SecurityOptions ?? []).flatMap(describeSecurityOption),
    ` Kernel Version: ${info.KernelVersion}`,
    ` Operating System: ${info.OperatingSystem}`,
    ` OSType: ${info.OSType}`,
    ` Architecture: ${info.Architecture}`,
    ` CPUs: ${info.NCPU}`,
    ` Total Memory: ${binarySize(info.MemTotal)}`,
    ` Name: ${info.Name}`,
    ` ID: ${info.ID}`,
    ` Docker Root Dir: ${info.DockerRootDir}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** `name=seccomp,profile=default` */
function describeSecurityOption(option: string): string[] {
  const [name = "", ...settings] = option.split(",");
  const shown = settings.map((setting) => {
    const [key = "", value = ""] = setting.split("=");
    return `   ${key.charAt(0).toUpperCase()}${key.slice(1)}: ${value}`;
  });
  return [`  ${name.replace(/^name=/, "")}`, ...shown];
}
