import type { PortBinding } from "../../core/objects.ts";
import { type Command, CommandError } from "../command.ts";
import { hostAndPort } from "./row.ts";

export const port: Command = {
  synopsis: "CONTAINER [PRIVATE_PORT[/PROTO]]",
  summary: "List port mappings or a specific mapping for the container",
  count: { least: 1, most: 2 },
  examples: ["port web", "port web 80/tcp"],
  define:
    () =>
    async ({ args: [name = "", wanted], engine, io }) => {
      const { NetworkSettings } = await (await engine()).containers.inspect(name);
      const ports = NetworkSettings.Ports ?? {};
      if (wanted !== undefined) {
        const key = wanted.includes("/") ? wanted.toLowerCase() : `${wanted}/tcp`;
        const bindings = ports[key];
        if (bindings === undefined || bindings === null || bindings.length === 0) {
          throw new CommandError(`no public port '${wanted}' published for ${name}`);
        }
        await io.stdout.write(sorted(bindings.map((binding) => `${address(binding)}\n`)).join(""));
        return 0;
      }
      const lines = Object.entries(ports).flatMap(([key, bindings]) =>
        (bindings ?? []).map((binding) => ({ key, text: `${key} -> ${address(binding)}\n` })),
      );
      lines.sort(
        (a, b) => Number.parseInt(a.key, 10) - Number.parseInt(b.key, 10) || compare(a.text, b.text),
      );
      await io.stdout.write(lines.map(({ text }) => text).join(""));
      return 0;
    },
};

function address({ HostIp = "", HostPort = "" }: PortBinding): string {
  return hostAndPort(HostIp, HostPort);
}

function sorted(lines: string[]): string[] {
  return lines.sort(compare);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
