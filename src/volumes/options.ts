/** The local driver's options: what is mounted on a volume's directory while it is in use. mount(2). */
import { InvalidParameter } from "../core/errors.ts";
import { mount, mountFlag, unmount } from "../linux/mounts.ts";

const known = new Set(["type", "o", "device", "size"]);
const needed: Record<string, readonly string[]> = {
  device: ["type"],
  type: ["device"],
  o: ["device", "type"],
};
/** mount(2) takes one page. */
const longestOptions = 4095;

/** @throws InvalidParameter in Docker's words. */
export function validateDriverOptions(name: string, options: Record<string, string>): void {
  for (const [option, value] of Object.entries(options)) {
    if (!known.has(option)) throw new InvalidParameter(`create ${name}: invalid option: "${option}"`);
    if (value.length > longestOptions || value.includes("\0")) {
      throw new InvalidParameter(`create ${name}: invalid value of option "${option}"`);
    }
    for (const other of needed[option] ?? []) {
      if (!(other in options))
        throw new InvalidParameter(`create ${name}: missing required option: "${other}"`);
    }
  }
  if ("size" in options) {
    throw new InvalidParameter(
      `create ${name}: quota size requested but no quota support; for a tmpfs use the option o=size=…`,
    );
  }
}

/** mount(8)'s words for flags of mount(2): what to set and what to clear. */
const flagWords: Record<string, { set?: number; clear?: number }> = {
  defaults: {},
  ro: { set: mountFlag.readOnly },
  rw: { clear: mountFlag.readOnly },
  nosuid: { set: mountFlag.noSetuid },
  suid: { clear: mountFlag.noSetuid },
  nodev: { set: mountFlag.noDevices },
  dev: { clear: mountFlag.noDevices },
  noexec: { set: mountFlag.noExec },
  exec: { clear: mountFlag.noExec },
  sync: { set: mountFlag.synchronous },
  async: { clear: mountFlag.synchronous },
  noatime: { set: mountFlag.noAtime },
  atime: { clear: mountFlag.noAtime },
  nodiratime: { set: mountFlag.noDirAtime },
  diratime: { clear: mountFlag.noDirAtime },
  relatime: { set: mountFlag.relatime },
  norelatime: { clear: mountFlag.relatime },
  strictatime: { set: mountFlag.strictAtime },
  nostrictatime: { clear: mountFlag.strictAtime },
  bind: { set: mountFlag.bind },
  rbind: { set: mountFlag.bind | mountFlag.recursive },
  private: { set: mountFlag.private },
  rprivate: { set: mountFlag.private | mountFlag.recursive },
  shared: { set: mountFlag.shared },
  rshared: { set: mountFlag.shared | mountFlag.recursive },
  slave: { set: mountFlag.slave },
  rslave: { set: mountFlag.slave | mountFlag.recursive },
  unbindable: { set: mountFlag.unbindable },
};

const propagationFlags = mountFlag.private | mountFlag.shared | mountFlag.slave | mountFlag.unbindable;

/** What mount(2) is given, in up to three calls: the mount, its remount with flags (binds), its propagation. */
export interface MountArguments {
  flags: number;
  propagation: number;
  data: string;
}

/** Reads mount(8) options: words for flags become flags, the rest is the file system's own. */
function parseMountOptions(text: string): MountArguments {
  let flags = 0;
  const data: string[] = [];
  for (const word of text.split(",")) {
    if (word === "") continue;
    const flag = Object.hasOwn(flagWords, word) ? flagWords[word] : undefined;
    if (flag === undefined) data.push(word);
    else flags = (flags & ~(flag.clear ?? 0)) | (flag.set ?? 0);
  }
  const isPropagation = (flags & propagationFlags) !== 0;
  const propagation = isPropagation ? flags & (propagationFlags | mountFlag.recursive) : 0;
  const isBind = (flags & mountFlag.bind) !== 0;
  const plain = flags & ~propagationFlags & ~(isPropagation && !isBind ? mountFlag.recursive : 0);
  return { flags: plain, propagation, data: data.join(",") };
}

/** Mounts what a volume's options name. @throws LinuxError */
export async function mountDriverOptions(options: Record<string, string>, target: string): Promise<void> {
  const { flags, propagation, data } = parseMountOptions(options.o ?? "");
  const type = options.type ?? "";
  const device = options.device ?? "";
  mount(device, target, type === "none" ? undefined : type, flags, await resolveAddress(type, data));
  try {
    const restrictions = flags & ~mountFlag.recursive;
    if ((flags & mountFlag.bind) !== 0 && restrictions !== mountFlag.bind) {
      // A bind takes no other flags at first; they come with a remount.
      mount(undefined, target, undefined, restrictions | mountFlag.remount);
    }
    if (propagation !== 0) mount(undefined, target, undefined, propagation);
  } catch (error) {
    unmount(target, { detach: true });
    throw error;
  }
}

/** The kernel's nfs and cifs clients take addresses, not names. */
async function resolveAddress(type: string, data: string): Promise<string> {
  if (type !== "cifs" && !type.startsWith("nfs")) return data;
  const { lookup } = await import("node:dns/promises");
  const words = data.split(",");
  for (const [index, word] of words.entries()) {
    if (word.startsWith("addr=")) words[index] = `addr=${(await lookup(word.slice(5))).address}`;
  }
  return words.join(",");
}
