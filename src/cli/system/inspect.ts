import { messageOf, NotFound, NotImplemented } from "../../core/errors.ts";
import { quote } from "../../core/strconv.ts";
import type { Engine } from "../../engine/engine.ts";
import { describeFailure } from "../cli.ts";
import { atLeastOne, type Command, CommandError, Diverted, type Invocation } from "../command.ts";
import { objectFormatFlag } from "../format/flag.ts";
import { objectTemplate, runOnObject } from "../format/object.ts";
import { type ShapeName, shaped } from "../format/shapes.ts";
import { normalPlatform } from "../options/platform.ts";

type Kind = Exclude<ShapeName, "event">;

/** In the order in which a bare name is looked up. */
const kinds: readonly Kind[] = ["container", "image", "network", "volume"];
const dockersKinds = [
  "config",
  "container",
  "image",
  "network",
  "node",
  "plugin",
  "secret",
  "service",
  "task",
  "volume",
];

interface Found {
  kind: Kind;
  json: object;
}

type Lookup = (engine: Engine, name: string) => Promise<Found>;

interface LookupOptions {
  /** Of a container: the sizes of its files. */
  size: boolean;
  /** Of an image: which of its platforms. */
  platform?: string | undefined;
}

async function lookUp(engine: Engine, kind: Kind, name: string, options: LookupOptions): Promise<Found> {
  const { size, platform } = options;
  switch (kind) {
    case "container":
      return { kind, json: await engine.containers.inspect(name, { size }) };
    case "image":
      return { kind, json: await engine.images.inspect(name, platform === undefined ? {} : { platform }) };
    case "network":
      return { kind, json: await engine.networks.inspect(name) };
    case "volume":
      return { kind, json: await engine.volumes.inspect(name) };
  }
}

export const inspect: Command = {
  synopsis: "[OPTIONS] NAME|ID [NAME|ID...]",
  summary: "Return low-level information on Docker objects",
  count: atLeastOne,
  examples: ["inspect -f '{{.State.Status}}' web", "inspect --type volume data"],
  define(flags) {
    const format = objectFormatFlag(flags);
    const size = flags.bool("size", "Display total file sizes if the type is container", { short: "s" });
    const type = flags.string("type", "Only inspect objects of the given type");
    return async (invocation) => {
      const only = kinds.find((kind) => kind === type.value);
      if (type.changed && only === undefined) throw unknownKind(type.value);
      const find: Lookup = async (engine, name) => {
        for (const kind of only === undefined ? kinds : [only]) {
          try {
            return await lookUp(engine, kind, name, { size: size.value });
          } catch (error) {
            if (only !== undefined || !(error instanceof NotFound)) throw error;
          }
        }
        if (only === undefined) {
          const { divertToWorking } = await import("../working/instead.ts");
          await divertToWorking(engine, name, "inspect");
        }
        throw new CommandError(`Error: No such object: ${name}`);
      };
      return await inspectAll(invocation, format.value, find);
    };
  },
};

function unknownKind(name: string): CommandError {
  if (dockersKinds.includes(name)) return new CommandError(`--type ${name} is not supported yet by davit`);
  const known = dockersKinds.map((kind) => quote(kind)).join(", ");
  return new CommandError(`unknown type: ${quote(name)}: must be one of ${known}`);
}

const platformUsage = `Inspect a specific platform of the multi-platform image.
If the image or the server is not multi-platform capable, the command will error out if the platform does not match.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)`;

/** What people ask of each. */
const examples: Record<Kind, string> = {
  container: "container inspect -f '{{.State.Pid}}' web",
  image: "image inspect -f '{{json .Config.Env}}' busybox",
  network: "network inspect -f '{{json .IPAM.Config}}' bridge",
  volume: "volume inspect -f '{{.Mountpoint}}' data",
};

function inspectKind(kind: Kind, synopsis: string, summary: string): Command {
  return {
    synopsis: `[OPTIONS] ${synopsis}`,
    summary,
    count: atLeastOne,
    examples: [examples[kind]],
    define(flags) {
      const format = objectFormatFlag(flags);
      const size =
        kind === "container" ? flags.bool("size", "Display total file sizes", { short: "s" }) : undefined;
      if (kind === "network") flags.bool("verbose", "Verbose output for diagnostics", { short: "v" });
      const platform = kind === "image" ? flags.string("platform", platformUsage) : undefined;
      return async (invocation) => {
        const options: LookupOptions = {
          size: size?.value ?? false,
          platform: normalPlatform(platform?.value ?? "", ""),
        };
        return await inspectAll(invocation, format.value, (engine, name) =>
          lookUp(engine, kind, name, options),
        );
      };
    },
  };
}

export const inspectContainers = inspectKind(
  "container",
  "CONTAINER [CONTAINER...]",
  "Display detailed information on one or more containers",
);
export const inspectImages = inspectKind(
  "image",
  "IMAGE [IMAGE...]",
  "Display detailed information on one or more images",
);
export const inspectNetworks = inspectKind(
  "network",
  "NETWORK [NETWORK...]",
  "Display detailed information on one or more networks",
);
export const inspectVolumes = inspectKind(
  "volume",
  "VOLUME [VOLUME...]",
  "Display detailed information on one or more volumes",
);

/** Prints what is found, then what went wrong. */
async function inspectAll({ args, engine, io }: Invocation, format: string, find: Lookup): Promise<number> {
  const template = format === "" ? undefined : objectTemplate(format);
  const opened = await engine();
  const found: object[] = [];
  const lines: string[] = [];
  const failures: string[] = [];
  for (const name of args) {
    try {
      const { kind, json } = await find(opened, name);
      found.push(json);
      if (template !== undefined) lines.push(runOnObject(template, shaped(kind, json), json));
    } catch (error) {
      // What the engine cannot do for one, it cannot for any.
      if (error instanceof NotImplemented || error instanceof Diverted) throw error;
      const isTemplate = error instanceof Error && error.name === "TemplateExecutionError";
      failures.push(isTemplate ? `template parsing error: ${messageOf(error)}` : describeFailure(error));
    }
  }
  const text = template === undefined ? JSON.stringify(found, null, 4) : lines.join("\n");
  await io.stdout.write(`${text}\n`);
  if (failures.length === 0) return 0;
  await io.stderr.write(`${failures.join("\n")}\n`);
  return 1;
}
