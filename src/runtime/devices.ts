/** Devices of a container: those it asks for, or all of the host's when it is privileged. */
import { readdirSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { hasErrno, InvalidParameter } from "../core/errors.ts";
import type { DeviceMapping, HostConfig } from "../core/objects.ts";
import type { DeviceRule, DeviceSpec } from "./oci.ts";

/** Splits a device number as stat(2) gives it: makedev(3). */
export function deviceNumbers(device: number): { major: number; minor: number } {
  const bits = BigInt(device);
  return {
    major: Number(((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n)),
    minor: Number((bits & 0xffn) | ((bits >> 12n) & 0xffffff00n)),
  };
}

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
  let stat: Stats;
  try {
    stat = statSync(mapping.PathOnHost);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) throw fail("no such file or directory");
    throw error;
  }
  if (stat.isDirectory()) {
    return devicesBelow(mapping.PathOnHost).map((device) => ({
      device: { ...device, path: target + device.path.slice(mapping.PathOnHost.length) },
      access,
    }));
  }
  const device = describe(target, stat);
  if (device === undefined) throw fail("not a device node");
  return [{ device, access }];
}

function describe(path: string, stat: Stats): DeviceSpec | undefined {
  if (!stat.isCharacterDevice() && !stat.isBlockDevice()) return undefined;
  return {
    path,
    type: stat.isBlockDevice() ? "b" : "c",
    ...deviceNumbers(stat.rdev),
    fileMode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  };
}

/** Names in /dev that are not for containers: their own instances are mounted there. */
const notShared = new Set(["pts", "shm", "fd", "mqueue", "console", ".udev", ".lxc", ".lxd-mounts"]);

function devicesBelow(directory: string): DeviceSpec[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (notShared.has(entry.name)) return [];
    if (entry.isDirectory()) return devicesBelow(path);
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return [];
    // A device may be unplugged between the listing and the look.
    const stat = statSync(path, { throwIfNoEntry: false });
    const device = stat === undefined ? undefined : describe(path, stat);
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
