/**
 * nftables: rules as text through libnftables in this process, and the one question that has to be cheap (is our
 * table there?) over netlink. libnftables-json(5), nft(8).
 */
import { dlopen, FFIType, type Pointer } from "bun:ffi";
import { hasErrno, messageOf, SystemFailure, Unavailable } from "../core/errors.ts";
import { cstring, ptr } from "./libc.ts";
import { attributeText, closeLater, NetlinkMessage, NetlinkSocket, parseAttributes } from "./netlink.ts";

const { i32, u32, ptr: pointer, cstring: text } = FFIType;

function load() {
  try {
    return dlopen("libnftables.so.1", {
      nft_ctx_new: { args: [u32], returns: pointer },
      nft_ctx_buffer_output: { args: [pointer], returns: i32 },
      nft_ctx_buffer_error: { args: [pointer], returns: i32 },
      nft_ctx_get_output_buffer: { args: [pointer], returns: text },
      nft_ctx_get_error_buffer: { args: [pointer], returns: text },
      nft_ctx_free: { args: [pointer], returns: FFIType.void },
      nft_run_cmd_from_buffer: { args: [pointer, pointer], returns: i32 },
    }).symbols;
  } catch (cause) {
    throw new Unavailable(
      "publishing ports and bridge networks need libnftables.so.1, which is not installed; " +
        "on Debian and Ubuntu: apt-get install libnftables1; on Fedora: dnf install nftables; or use --network host or none",
      { cause },
    );
  }
}

/** nft refused a command, or the kernel did; nothing of it was applied. */
export class NftablesFailure extends SystemFailure {
  /** @param report what libnftables says: a line for each fault, each with the whole command below it. */
  constructor(report: string) {
    const faults = report.split("\n").filter((line) => line.includes("Error: "));
    super(`nftables: ${faults.join("; ").slice(0, longestReport)}`);
  }
}

const longestReport = 500;

function missingInKernel(report: string, cause?: unknown): Unavailable {
  return new Unavailable(
    "this kernel lacks a part of nftables that bridge networks need (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, " +
      `CONFIG_NFT_MASQ, CONFIG_NFT_FIB_INET): ${report}; load the modules (modprobe -a nf_tables nft_chain_nat nft_masq ` +
      "nft_fib_inet), or use --network host or none",
    { cause },
  );
}

/**
 * A context of libnftables: for tables, chains and rules. Each command reads the sets of all tables of the machine
 * first, with all their elements, and so takes from 1 ms to 200 ms and more, depending on what else there is; single
 * elements therefore go past it (`nftables-elements.ts`).
 */
export class Nftables implements Disposable {
  readonly #library = load();
  readonly #context: Pointer;

  constructor() {
    const context = this.#library.nft_ctx_new(0);
    if (typeof context !== "number") throw new SystemFailure("libnftables: cannot make a context");
    this.#context = context;
    this.#library.nft_ctx_buffer_output(context);
    this.#library.nft_ctx_buffer_error(context);
  }

  /**
   * Runs commands in nft's language as one transaction: all or none.
   * @returns what `list` commands print. @throws NftablesFailure
   */
  run(commands: string): string {
    const bytes = cstring(commands);
    if (this.#library.nft_run_cmd_from_buffer(this.#context, ptr(bytes)) === 0) {
      return String(this.#library.nft_ctx_get_output_buffer(this.#context));
    }
    const report = String(this.#library.nft_ctx_get_error_buffer(this.#context));
    if (/Operation not supported|Protocol not supported|Address family not supported/.test(report)) {
      throw missingInKernel(new NftablesFailure(report).message);
    }
    throw new NftablesFailure(report);
  }

  [Symbol.dispose](): void {
    closeLater(() => this.#library.nft_ctx_free(this.#context));
  }
}

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_GETTABLE = 1;
const NFPROTO_INET = 1;
const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_USERDATA = 6;
const NFTNL_UDATA_TABLE_COMMENT = 0;

/**
 * The comment of a table of family inet; empty when it has none, undefined when there is no such table.
 * About 30 µs: libnftables is not loaded for it.
 */
export function findTableComment(name: string): string | undefined {
  const payload = getTable(name);
  if (payload === undefined) return undefined;
  const userData = parseAttributes(payload.subarray(4)).get(NFTA_TABLE_USERDATA);
  if (userData === undefined || userData.length < 2) return "";
  // libnftnl's own encoding: one byte of type, one of length, the value.
  const length = userData.readUInt8(1);
  return userData.readUInt8(0) === NFTNL_UDATA_TABLE_COMMENT
    ? (attributeText(userData.subarray(2, 2 + length)) ?? "")
    : "";
}

function getTable(name: string): Buffer | undefined {
  try {
    using socket = new NetlinkSocket("netfilter");
    const message = new NetlinkMessage((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE, 0)
      .raw(Buffer.from([NFPROTO_INET, 0, 0, 0]))
      .text(NFTA_TABLE_NAME, name);
    return socket.get({ message, act: `get table inet ${name}` });
  } catch (error) {
    // No netlink for netfilter at all, or none for nftables.
    if (hasErrno(error, "EPROTONOSUPPORT", "EINVAL", "EOPNOTSUPP", "ENOTSUP")) {
      throw missingInKernel(messageOf(error), error);
    }
    throw error;
  }
}

const NFT_MSG_GETCHAIN = 4;
const NFTA_CHAIN = { table: 1, name: 3, hook: 4, policy: 5, type: 7 } as const;
const NFTA_HOOK_HOOKNUM = 1;
const NF_DROP = 0;
const families = new Map([
  [1, "inet"],
  [2, "ip"],
  [10, "ip6"],
]);
const hooks = ["prerouting", "input", "forward", "output", "postrouting"] as const;

/** A chain that the kernel's hooks call, of family ip, ip6 or inet; iptables-nft's chains are among them. */
export interface BaseChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly hook: (typeof hooks)[number];
  readonly policy: "drop" | "accept";
}

/** The chains of all tables that hang on a hook of the kernel. @throws LinuxError */
export function listBaseChains(): BaseChain[] {
  using socket = new NetlinkSocket("netfilter");
  const chains: BaseChain[] = [];
  const message = new NetlinkMessage((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN, 0).raw(Buffer.alloc(4));
  socket.dump({ message, act: "list chains" }, (payload) => {
    const family = families.get(payload.readUInt8(0));
    const attributes = parseAttributes(payload.subarray(4));
    const hookAttribute = attributes.get(NFTA_CHAIN.hook);
    if (family === undefined || hookAttribute === undefined) return;
    const hook =
      hooks[parseAttributes(hookAttribute).get(NFTA_HOOK_HOOKNUM)?.readUInt32BE(0) ?? hooks.length];
    if (hook === undefined) return;
    chains.push({
      family,
      table: attributeText(attributes.get(NFTA_CHAIN.table)) ?? "",
      name: attributeText(attributes.get(NFTA_CHAIN.name)) ?? "",
      type: attributeText(attributes.get(NFTA_CHAIN.type)) ?? "",
      hook,
      policy: attributes.get(NFTA_CHAIN.policy)?.readUInt32BE(0) === NF_DROP ? "drop" : "accept",
    });
  });
  return chains;
}
