/** Restart policies, security options, logging options, namespaces: strings with a grammar of their own. */
import { InvalidParameter, messageOf } from "../../core/errors.ts";
import type { HostConfig, RestartPolicy } from "../../core/objects.ts";
import { quote } from "../../core/strconv.ts";
import { FileFailure, readTextFile } from "../files.ts";
import { BadValue } from "../flags/values.ts";
import type { Io } from "../io.ts";
import { isIpAddress } from "./addresses.ts";
import { listOrNull } from "./key-values.ts";

const longestSeccompProfile = 4 * 1024 * 1024;
const restartNames = ["", "no", "always", "unless-stopped", "on-failure"] as const;

/** `on-failure[:n]` and the others. @throws BadValue in Docker's words */
export function parseRestartPolicy(text: string): RestartPolicy {
  const colon = text.indexOf(":");
  const name = colon < 0 ? text : text.slice(0, colon);
  const count = colon < 0 ? "" : text.slice(colon + 1);
  if (colon >= 0 && name === "") {
    throw new BadValue("invalid restart policy format: no policy provided before colon");
  }
  if (count !== "" && !/^[+-]?\d+$/.test(count)) {
    throw new BadValue("invalid restart policy format: maximum retry count must be an integer");
  }
  const known = restartNames.find((candidate) => candidate === name);
  if (known === undefined) throw new InvalidParameter(`invalid restart policy '${name}'`);
  return { Name: known, MaximumRetryCount: Number(count) };
}

export interface SecurityOptions {
  SecurityOpt: string[] | null;
  MaskedPaths?: string[];
  ReadonlyPaths?: string[];
}

/** Reads seccomp profiles into their option; `systempaths=unconfined` empties both lists of paths. @throws BadValue */
export function securityOptions(io: Io, values: readonly string[]): SecurityOptions {
  const kept: string[] = [];
  const options: SecurityOptions = { SecurityOpt: values.length === 0 ? null : kept };
  for (const value of values) {
    if (value === "systempaths=unconfined") {
      options.MaskedPaths = [];
      options.ReadonlyPaths = [];
      continue;
    }
    kept.push(securityOption(io, value));
  }
  return options;
}

function securityOption(io: Io, value: string): string {
  const [, name = value, setting = ""] = /^([^=:]*)[=:](.*)$/s.exec(value) ?? [];
  if (setting === "" && name !== "no-new-privileges")
    throw new BadValue(`Invalid --security-opt: ${quote(value)}`);
  if (name !== "seccomp" || setting === "unconfined" || setting === "builtin") return value;
  let text: string;
  try {
    text = readTextFile(io, setting, longestSeccompProfile);
  } catch (error) {
    throw new FileFailure(`opening seccomp profile (${setting}) failed: ${messageOf(error)}`);
  }
  try {
    return `seccomp=${JSON.stringify(JSON.parse(text))}`;
  } catch (error) {
    throw new FileFailure(`compacting json for seccomp profile (${setting}) failed: ${messageOf(error)}`);
  }
}

/** Capabilities in their full spelling, in order; what is both added and dropped is added. */
export function capabilities(
  added: readonly string[],
  dropped: readonly string[],
): { CapAdd: string[] | null; CapDrop: string[] | null } {
  const add = spelledOut(added);
  const drop = spelledOut(dropped).filter((name) => !add.includes(name));
  return { CapAdd: listOrNull(add), CapDrop: listOrNull(drop) };
}

function spelledOut(names: readonly string[]): string[] {
  const full = names.map((name) => {
    const upper = name.trim().toUpperCase();
    return upper === "ALL" || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  });
  return full.includes("ALL") ? ["ALL"] : [...new Set(full)].sort();
}

const sysctls = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

/** `name=value` of a sysctl that belongs to a namespace. @throws BadValue */
export function checkSysctl(text: string): string {
  const equals = text.indexOf("=");
  const name = text.slice(0, Math.max(equals, 0));
  if (equals < 0 || !(sysctls.has(name) || name.startsWith("net.") || name.startsWith("fs.mqueue."))) {
    throw new BadValue(`sysctl '${text}' is not allowed`);
  }
  return text;
}

/** `name:ip` or `name=ip`; the address may be `host-gateway`. @throws BadValue */
export function parseExtraHost(text: string): string {
  const [, name = "", address = ""] = /^([^:=]+)[:=](.*)$/s.exec(text) ?? [];
  if (name === "" || address === "") throw new BadValue(`bad format for add-host: ${quote(text)}`);
  const bare = /^\[(.*)\]$/.exec(address)?.[1] ?? address;
  if (bare !== "host-gateway" && !isIpAddress(bare)) {
    throw new BadValue(`invalid IP address in add-host: ${quote(address)}`);
  }
  return `${name}:${bare}`;
}

/** @throws BadValue */
export function checkIpAddress(text: string): string {
  if (!isIpAddress(text.trim())) throw new BadValue(`IP address is not correctly formatted: ${text}`);
  return text.trim();
}

/** A domain for the resolver; `.` for none. @throws BadValue */
export function checkDnsSearch(text: string): string {
  const domain = text.trim();
  const label = "[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?";
  if (
    domain === "." ||
    (/[a-zA-Z]/.test(domain) && new RegExp(`^${label}(\\.${label})*\\.?$`).test(domain))
  ) {
    return domain;
  }
  throw new BadValue(`${text} is not a valid domain`);
}

/** `container[:alias]`. @throws BadValue */
export function checkLink(text: string): string {
  if (text === "") throw new BadValue("empty string specified for links");
  if (text.split(":").length > 2) throw new BadValue(`bad format for links: ${text}`);
  return text;
}

/** @throws BadValue when a namespace mode is not one of Docker's */
export function checkNamespaces(host: HostConfig): void {
  const { PidMode = "", UTSMode = "", UsernsMode = "" } = host;
  if (PidMode !== "" && PidMode !== "host" && !/^container:.+/.test(PidMode)) {
    throw new BadValue("--pid: invalid PID mode");
  }
  if (UTSMode !== "" && UTSMode !== "host") throw new BadValue("--uts: invalid UTS mode");
  if (UsernsMode !== "" && UsernsMode !== "host") throw new BadValue("--userns: invalid USER mode");
}
