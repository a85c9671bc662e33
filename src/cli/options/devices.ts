/** Devices, limits on them, ulimits and GPUs. */

import type { DeviceMapping, DeviceRequest, Ulimit } from "../../core/objects.ts";
import { normalize } from "../../core/paths.ts";
import { BadValue, inWords, parseBytes, parseInteger, parseUnsigned } from "../flags/values.ts";
import { splitCsv, splitPair, toMap } from "./key-values.ts";

function isDeviceMode(mode: string): boolean {
  return /^[rwm]+$/.test(mode) && new Set(mode).size === mode.length;
}

/** `--device host[:container][:rwm]`. @throws BadValue in Docker's words */
export function parseDevice(text: string): DeviceMapping {
  const parts = text.split(":");
  const [host = "", second, third] = parts;
  if (parts.length > 3 || host === "") throw new BadValue(`bad format for path: ${text}`);
  if (third !== undefined && !isDeviceMode(third)) throw new BadValue(`bad mode specified: ${third}`);
  const secondIsMode = third === undefined && second !== undefined && isDeviceMode(second);
  const inside = second === undefined || secondIsMode ? host : second;
  if (!inside.startsWith("/")) throw new BadValue(`${inside} is not an absolute path`);
  return {
    PathOnHost: second === undefined || secondIsMode ? normalize(host) : host,
    PathInContainer: normalize(inside),
    CgroupPermissions: third ?? (secondIsMode ? second : "rwm"),
  };
}

/** @throws BadValue */
export function checkDeviceRule(text: string): string {
  if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(text)) {
    throw new BadValue(`invalid device cgroup format '${text}'`);
  }
  return text;
}

/** `/dev/sda:500` */
export function parseWeightDevice(text: string): { Path: string; Weight: number } {
  const [Path, value] = splitDevice(text);
  const weight = /^\d+$/.test(value) ? parseUnsigned(value, 32) : -1;
  if (weight !== 0 && (weight < 10 || weight > 1000))
    throw new BadValue(`invalid weight for device: ${text}`);
  return { Path, Weight: weight };
}

/** `/dev/sda:1mb` */
export function parseBytesDevice(text: string): { Path: string; Rate: number } {
  const [Path, value] = splitDevice(text);
  const message =
    `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. ` +
    "Number must be a positive integer. Unit is optional and can be kb, mb, or gb";
  return { Path, Rate: inWords(message, () => parseBytes(value)) };
}

/** `/dev/sda:1000` */
export function parseOperationsDevice(text: string): { Path: string; Rate: number } {
  const [Path, value] = splitDevice(text);
  if (!/^\d+$/.test(value)) {
    throw new BadValue(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`,
    );
  }
  return { Path, Rate: Number(value) };
}

function splitDevice(text: string): [path: string, value: string] {
  const colon = text.indexOf(":");
  if (colon <= 0 || colon === text.length - 1) throw new BadValue(`bad format: ${text}`);
  const path = text.slice(0, colon);
  if (!path.startsWith("/dev/")) throw new BadValue(`bad format for device path: ${text}`);
  return [path, text.slice(colon + 1)];
}

const ulimitNames = new Set([
  "as",
  "core",
  "cpu",
  "data",
  "fsize",
  "locks",
  "memlock",
  "msgqueue",
  "nice",
  "nofile",
  "nproc",
  "rss",
  "rtprio",
  "rttime",
  "sigpending",
  "stack",
]);

/** `nofile=1024[:2048]`; -1 is unlimited. @throws BadValue in Docker's words */
export function parseUlimit(text: string): Ulimit {
  const equals = text.indexOf("=");
  if (equals < 0) throw new BadValue(`invalid ulimit argument: ${text}`);
  const name = text.slice(0, equals);
  const value = text.slice(equals + 1);
  if (!ulimitNames.has(name)) throw new BadValue(`invalid ulimit type: ${name}`);
  const limits = value.split(":");
  if (limits.length > 2) {
    throw new BadValue(`too many limit value arguments - ${value}, can only have up to two, \`soft[:hard]\``);
  }
  const [soft = 0, hard = soft] = limits.map(parseInteger);
  if (hard !== -1 && (soft === -1 || soft > hard)) {
    const shown = soft === -1 ? `soft: -1 (unlimited), hard: ${hard}` : `${soft} > ${hard}`;
    throw new BadValue(`ulimit soft limit must be less than or equal to hard limit: ${shown}`);
  }
  return { Name: name, Soft: soft, Hard: hard };
}

/** `all`, a number, or CSV of device=, driver=, count=, capabilities= and options=. @throws BadValue */
export function parseGpus(text: string): DeviceRequest {
  const request: DeviceRequest = {};
  const seen = new Set<string>();
  for (const field of splitCsv(text)) {
    const [name, value] = field.includes("=") ? splitPair(field) : ["count", field];
    if (seen.has(name)) throw new BadValue(`gpu request key '${name}' can be specified only once`);
    seen.add(name);
    if (name === "count") request.Count = gpuCount(value);
    else if (name === "driver") request.Driver = value;
    else if (name === "device") request.DeviceIDs = value.split(",");
    else if (name === "capabilities") request.Capabilities = [[...value.split(","), "gpu"]];
    else if (name === "options") request.Options = toMap(splitCsv(value));
    else throw new BadValue(`unexpected key '${name}' in '${field}'`);
  }
  if (!seen.has("count") && request.DeviceIDs === undefined) request.Count = 1;
  request.Capabilities ??= [["gpu"]];
  request.Options ??= {};
  return request;
}

function gpuCount(value: string): number {
  if (value === "all") return -1;
  if (!/^-?\d+$/.test(value)) {
    throw new BadValue(`invalid count (${value}): value must be either "all" or an integer: invalid syntax`);
  }
  return Number(value);
}
