/** Devices of a container: those it asks for, or all of the host's when it is privileged. */

import { hasErrno, InvalidParameter } from "../core/errors.ts";
import type { DeviceMapping, HostConfig } from "../core/objects.ts";
import { join } from "../core/paths.ts";
import { namesOf } from "../linux/directories.ts";
import { type NodeStatus, nodeType, pathStatus, tryStatusAt } from "../linux/nodes.ts";
import { atCurrentDirectory } from "../linux/paths.ts";
import type { DeviceRule, DeviceSpec } from "./oci.ts";

export interface ResolvedDevices {
  devices: DeviceSpec[];
  rules: DeviceRule[];
}

/** What Docker allows by default: null, zero, random, urandom, tty and console; the runtime adds the ptys. */
const defaultRules: readonly DeviceRule[] = [
  { allow: false, access: "rwm" },
  ...[
    [1, 5],
    [1, 3],
    [1, 9],
    [1, 8],
    [5, 0],
    [5, 1],
  ].map(([major = 0, minor = 0]) => ({ allow: true, type: "c", major, minor, access: "rwm" })),
];

/** What of a container's settings concerns devices. Rules of `DeviceCgroupRules` read `c 1:3 rwm`. */
export type DeviceSettings = Pick<HostConfig, "Devices" | "DeviceCgroupRules" | "Privileged">;

/**
 * Looks up the devices on the host. A mapping of a directory means all devices below it.
 * @throws InvalidParameter `error gathering device information while adding custom device …`.
 */
export function resolveDevices(settings: DeviceSettings): ResolvedDevices {
  const custom = (settings.Devices ?? []).flatMap(mappedDevices);
  if (settings.Privileged) {
    const host = devicesBelow("/dev");
    const known = new Set(host.map((device) => device.path));
    const renamed = custom.map(({ device }) => device).filter((device) => !known.has(device.path));
    return { devices: [...host, ...renamed], rules: [{ allow: true, access: "rwm" }] };
  }
  return {
    devices: custom.map(({ device }) => device),
    rules: [
      ...defaultRules,
      ...custom.map(({ device, access }) => ({
        allow: true,
        type: device.type,
        major: device.major,
        minor: device.minor,
        access,
      })),
      ...(settings.DeviceCgroupRules ?? []).map(parseRule),
    ],
  };
}

function mappedDevices(mapping: DeviceMapping): { device: DeviceSpec; access: string }[] {
  const access = mapping.CgroupPermissions || "rwm";
  if (!/^[rwm]{1,3}$/.test(access)) throw new InvalidParameter(`bad mode specified: ${access}`);
  const target = mapping.PathInContainer || mapping.PathOnHost;
  const fail = (reason: string) =>
    new InvalidParameter(
      `error gathering device information while adding custom device "${mapping.PathOnHost}": ${reason}`,
    );
  let status: NodeStatus;
  try {
    status = pathStatus(mapping.PathOnHost);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) throw fail("no such file or directory");
    throw error;
  }
  if (typeOf(status) === nodeType.directory) {
    return devicesBelow(mapping.PathOnHost).map((device) => ({
      device: { ...device, path: target + device.path.slice(mapping.PathOnHost.length) },
      access,
    }));
  }
  const device = describe(target, status);
  if (device === undefined) throw fail("not a device node");
  return [{ device, access }];
}

function typeOf({ mode }: NodeStatus): number {
  return mode & nodeType.mask;
}

function describe(path: string, status: NodeStatus): DeviceSpec | undefined {
  const type = typeOf(status);
  if (type !== nodeType.characterDevice && type !== nodeType.blockDevice) return undefined;
  return {
    path,
    type: type === nodeType.blockDevice ? "b" : "c",
    major: status.deviceMajor,
    minor: status.deviceMinor,
    fileMode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
  };
}

/** Names in /dev that are not for containers: their own instances are mounted there. */
const notShared = new Set(["pts", "shm", "fd", "mqueue", "console", ".udev", ".lxc", ".lxd-mounts"]);

function devicesBelow(directory: string): DeviceSpec[] {
  return namesOf(directory).flatMap((name) => {
    if (notShared.has(name)) return [];
    const path = join(directory, name);
    // A symlink is not followed, and a device may be unplugged between the listing and the look.
    const status = tryStatusAt(atCurrentDirectory, path);
    if (status === undefined) return [];
    if (typeOf(status) === nodeType.directory) return devicesBelow(path);
    const device = describe(path, status);
    return device === undefined ? [] : [device];
  });
}

/** `type major:minor access`, with `*` for any. @throws InvalidParameter. */
function parseRule(text: string): DeviceRule {
  const match = text.match(/^([acb]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})$/);
  if (!match) throw new InvalidParameter(`invalid device cgroup rule format: '${text}'`);
  const [, type = "a", major = "*", minor = "*", access = "rwm"] = match;
  const rule: DeviceRule = { allow: true, type, access };
  if (major !== "*") rule.major = Number(major);
  if (minor !== "*") rule.minor = Number(minor);
  return rule;
}
