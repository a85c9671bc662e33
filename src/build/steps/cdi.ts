/**
 * Devices of `RUN --device`, as the Container Device Interface describes them (cncf-tags/container-device-interface,
 * SPEC.md): files of the machine's administrator say what a container gets to see of a device.
 */

import { InvalidParameter, messageOf } from "../../core/errors.ts";
import { join } from "../../core/paths.ts";
import { JsonReader, parseJson } from "../../images/json.ts";
import { namesIn } from "../../linux/directories.ts";
import { readFileSync } from "../../linux/files.ts";
import { resolveDevices } from "../../runtime/devices.ts";
import { type HookName, type HookSpec, hookNames, type RuntimeSpec } from "../../runtime/oci.ts";

/** What the later ones say comes before what the earlier ones say. */
export const cdiDirectories = ["/etc/cdi", "/var/run/cdi"];

interface DeviceNode {
  readonly path: string;
  readonly hostPath: string;
  readonly permissions: string;
}

interface DeviceMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly options: readonly string[];
}

export interface CdiDevice {
  /** `vendor.com/class=name` */
  readonly name: string;
  /** Other names, by BuildKit's annotation. */
  readonly classes: readonly string[];
  /** By BuildKit's annotation: needs no `--allow device`. */
  readonly isAllowed: boolean;
  readonly environment: readonly string[];
  readonly nodes: readonly DeviceNode[];
  readonly mounts: readonly DeviceMount[];
  /** Programs of the host that make it ready: the administrator's, as the whole description is. */
  readonly hooks: readonly { readonly name: HookName; readonly hook: HookSpec }[];
  /** What it asks for and davit does not do. */
  readonly unsupported: string | undefined;
}

const annotationPrefix = "org.mobyproject.buildkit.device.";

/** All devices that are described here. @throws InvalidParameter for a description that cannot be read */
export function cdiDevices(directories: readonly string[] = cdiDirectories): CdiDevice[] {
  const devices = directories.flatMap((directory) =>
    namesIn(directory)
      .filter((name) => /\.(?:json|ya?ml)$/.test(name))
      .sort()
      .flatMap((name) => readDescription(join(directory, name))),
  );
  return [...new Map(devices.map((device) => [device.name, device])).values()];
}

/** `vendor.com/class=name`, `vendor.com/class=*`, `vendor.com/class` for the first of them, or a class. */
export function devicesNamed(wanted: string, devices: readonly CdiDevice[]): CdiDevice[] {
  const kindOf = ({ name }: CdiDevice) => name.slice(0, name.indexOf("="));
  if (wanted.endsWith("=*")) return devices.filter((device) => kindOf(device) === wanted.slice(0, -2));
  if (wanted.includes("=")) return devices.filter(({ name }) => name === wanted);
  const ofKind = devices.filter((device) => kindOf(device) === wanted).slice(0, 1);
  return ofKind.length > 0 ? ofKind : devices.filter(({ classes }) => classes.includes(wanted));
}

/** What the container of a step gets for its devices. @throws InvalidParameter for a device that is not there */
export function addDevices(spec: RuntimeSpec, names: readonly string[]): void {
  if (names.length === 0) return;
  const known = cdiDevices();
  for (const device of names.flatMap((name) => devicesNamed(name, known))) {
    if (device.unsupported !== undefined) {
      throw new InvalidParameter(
        `device ${device.name} asks for ${device.unsupported}, which davit cannot do yet`,
      );
    }
    spec.process.env.push(...device.environment);
    for (const { hostPath, containerPath, options } of device.mounts) {
      spec.mounts.push({
        destination: containerPath,
        type: "bind",
        source: hostPath,
        options: bindOptions(options),
      });
    }
    const mappings = device.nodes.map(({ path, hostPath, permissions }) => ({
      PathOnHost: hostPath,
      PathInContainer: path,
      CgroupPermissions: permissions,
    }));
    for (const { name, hook } of device.hooks) {
      spec.hooks = { ...spec.hooks, [name]: [...(spec.hooks?.[name] ?? []), hook] };
    }
    // The default rules are in the spec already.
    const before = resolveDevices({}).rules.length;
    const { devices, rules } = resolveDevices({ Devices: mappings });
    spec.linux.devices = [...(spec.linux.devices ?? []), ...devices];
    spec.linux.resources.devices = [...(spec.linux.resources.devices ?? []), ...rules.slice(before)];
  }
}

function bindOptions(options: readonly string[]): string[] {
  return options.some((option) => option === "bind" || option === "rbind")
    ? [...options]
    : ["bind", ...options];
}

function readDescription(path: string): CdiDevice[] {
  const json = parseDescription(path);
  const kind = json.at("kind").string();
  const common = editsOf(json.at("containerEdits"));
  const notes = annotationsOf(json);
  return (json.at("devices").optional((list) => list.array()) ?? []).map((device): CdiDevice => {
    const own = editsOf(device.at("containerEdits"));
    const annotations = { ...notes, ...annotationsOf(device) };
    const classes = (annotations[`${annotationPrefix}class`] ?? "").split(",").filter((each) => each !== "");
    return {
      name: `${kind}=${device.at("name").string()}`,
      classes,
      isAllowed: annotations[`${annotationPrefix}autoallow`] === "true",
      environment: [...common.environment, ...own.environment],
      nodes: [...common.nodes, ...own.nodes],
      mounts: [...common.mounts, ...own.mounts],
      hooks: [...common.hooks, ...own.hooks],
      unsupported: common.unsupported ?? own.unsupported,
    };
  });
}

function parseDescription(path: string): JsonReader {
  const text = readFileSync(path, "utf8");
  if (path.endsWith(".json")) return parseJson(text, path);
  try {
    return new JsonReader(Bun.YAML.parse(text), path);
  } catch (error) {
    throw new InvalidParameter(`${path} is not valid YAML: ${messageOf(error)}`, { cause: error });
  }
}

function annotationsOf(json: JsonReader): Record<string, string> {
  return json.at("annotations").optional((map) => map.stringMap()) ?? {};
}

type Edits = Pick<CdiDevice, "environment" | "nodes" | "mounts" | "hooks" | "unsupported">;

function editsOf(json: JsonReader): Edits {
  if (json.isAbsent) return { environment: [], nodes: [], mounts: [], hooks: [], unsupported: undefined };
  const list = (key: string) => json.at(key).optional((value) => value.array()) ?? [];
  const text = (of: JsonReader, key: string) => of.at(key).optional((value) => value.string());
  return {
    environment: list("env").map((value) => value.string()),
    nodes: list("deviceNodes").map((node) => {
      const path = node.at("path").string();
      return {
        path,
        hostPath: text(node, "hostPath") ?? path,
        permissions: text(node, "permissions") ?? "rwm",
      };
    }),
    mounts: list("mounts").map((mount) => ({
      hostPath: mount.at("hostPath").string(),
      containerPath: mount.at("containerPath").string(),
      options: (mount.at("options").optional((value) => value.array()) ?? []).map((option) =>
        option.string(),
      ),
    })),
    hooks: list("hooks").map(hookOf),
    unsupported: ["intelRdt", "netDevices"].find((key) => !json.at(key).isAbsent),
  };
}

function hookOf(json: JsonReader): CdiDevice["hooks"][number] {
  const words = (key: string) =>
    json
      .at(key)
      .optional((value) => value.array())
      ?.map((word) => word.string());
  const wanted = json.at("hookName").string();
  const name = hookNames.find((each) => each === wanted);
  if (name === undefined) return json.at("hookName").fail("the name of a hook");
  const [args, env] = [words("args"), words("env")];
  const timeout = json.at("timeout").optional((value) => value.integer());
  const hook: HookSpec = {
    path: json.at("path").string(),
    ...(args === undefined ? {} : { args }),
    ...(env === undefined ? {} : { env }),
    ...(timeout === undefined ? {} : { timeout }),
  };
  return { name, hook };
}
