/**
 * Netlink sockets and messages. netlink(7), RFC 3549. Everything here is synchronous: the kernel has answered
 * a request by the time that send(2) returns, so there is never anything to wait for.
 *
 * Netlink speaks in the machine's own byte order; davit's machines (x86-64, arm64) are little-endian.
 */
import { LinuxError, SystemFailure } from "../core/errors.ts";
import { check, checkRetrying, errnoName, linuxError, ptr, symbols } from "./libc.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const headerLength = 16;
/** The kernel fills at most this much at once, however many messages it has. */
const receiveBufferLength = 32 * 1024;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

const netlinkProtocol = { route: 0, netfilter: 12 } as const;

export const messageFlag = {
  request: 0x1,
  acknowledge: 0x4,
  echo: 0x8,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
} as const;

const NLA_F_NESTED = 0x8000;
const attributeTypeMask = 0x3fff;

function aligned(length: number): number {
  return (length + 3) & ~3;
}

/** One message being put together: a header, a fixed part, attributes. */
export class NetlinkMessage {
  #bytes = Buffer.alloc(512);
  #length = headerLength;
  readonly type: number;

  constructor(type: number, flags: number) {
    this.type = type;
    this.#bytes.writeUInt16LE(type, 4);
    this.#bytes.writeUInt16LE(flags | messageFlag.request, 6);
  }

  /** Appends the message's fixed part, or any bytes that are no attribute. */
  raw(bytes: Uint8Array): this {
    this.#reserve(aligned(bytes.length));
    this.#bytes.set(bytes, this.#length);
    this.#length += aligned(bytes.length);
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    this.#reserve(4 + aligned(value.length));
    this.#bytes.writeUInt16LE(4 + value.length, this.#length);
    this.#bytes.writeUInt16LE(type, this.#length + 2);
    this.#bytes.set(value, this.#length + 4);
    this.#length += 4 + aligned(value.length);
    return this;
  }

  text(type: number, value: string): this {
    return this.attribute(type, Buffer.from(`${value}\0`));
  }

  uint8(type: number, value: number): this {
    return this.attribute(type, Buffer.from([value]));
  }

  uint32(type: number, value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return this.attribute(type, bytes);
  }

  /** An attribute that holds what `fill` appends. */
  nested(type: number, fill: (message: this) => void): this {
    const start = this.#length;
    this.attribute(type | NLA_F_NESTED, new Uint8Array(0));
    fill(this);
    this.#bytes.writeUInt16LE(this.#length - start, start);
    return this;
  }

  /** The finished message. */
  finish(sequence: number): Buffer {
    this.#bytes.writeUInt32LE(this.#length, 0);
    this.#bytes.writeUInt32LE(sequence, 8);
    return this.#bytes.subarray(0, this.#length);
  }

  addFlags(flags: number): this {
    this.#bytes.writeUInt16LE(this.#bytes.readUInt16LE(6) | flags, 6);
    return this;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = Buffer.alloc(2 * (this.#bytes.length + more));
    this.#bytes.copy(larger);
    this.#bytes = larger;
  }
}

/** The attributes in `bytes`, by type; of attributes of one type the last. Stops at a malformed one. */
export function parseAttributes(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) break;
    attributes.set(bytes.readUInt16LE(at + 2) & attributeTypeMask, bytes.subarray(at + 4, at + length));
    at += aligned(length);
  }
  return attributes;
}

/** The text of a NUL-terminated attribute. */
export function attributeText(value: Buffer | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return value.toString("utf8", 0, end < 0 ? value.length : end);
}

/** What a message asked for, for the words of a failure. */
export interface NamedRequest {
  readonly message: NetlinkMessage;
  /** `create link veth1`. */
  readonly act: string;
  /** Errno names that are as good as success, such as EEXIST. */
  readonly tolerated?: readonly string[];
}

interface Answer {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Buffer;
}

/**
 * Closing a netfilter socket makes the kernel finish all pending nftables deletions first, whosever they are: an RCU
 * grace period of 10–20 ms. So it is closed later; a process that ends before that leaves it to the kernel.
 */
const graceForDeletions = 100;

export function closeLater(close: () => void): void {
  setTimeout(close, graceForDeletions).unref();
}

/** A netlink socket. It stays in the network namespace in which it was opened. */
export class NetlinkSocket implements Disposable {
  readonly #fd: number;
  readonly #protocol: keyof typeof netlinkProtocol;
  #sequence = 0;
  /** Made at the first answer: a socket that only sends needs none. */
  #received: Buffer | undefined;

  constructor(protocol: keyof typeof netlinkProtocol) {
    this.#protocol = protocol;
    this.#fd = check(
      symbols.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, netlinkProtocol[protocol]),
      "socket",
      `netlink ${protocol}`,
    );
    const on = Buffer.from([1, 0, 0, 0]);
    symbols.setsockopt(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, ptr(on), 4);
    symbols.setsockopt(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, ptr(on), 4);
  }

  /**
   * Sends all messages in one call; the kernel does them one after the other, and goes on after one that fails.
   * @throws LinuxError of the first failure that its request does not tolerate, once all are answered.
   */
  batch(requests: readonly NamedRequest[]): void {
    const first = this.#sequence + 1;
    this.#send(requests.map((request) => this.#acknowledged(request)));
    this.#awaitAll(requests, first);
  }

  /**
   * Like `batch`, between two messages that make them one transaction: all or none (nfnetlink batches).
   * @throws LinuxError of the first failure.
   */
  transaction(begin: NetlinkMessage, requests: readonly NamedRequest[], end: NetlinkMessage): void {
    const messages = [begin.finish(++this.#sequence)];
    const first = this.#sequence + 1;
    for (const request of requests) messages.push(this.#acknowledged(request));
    messages.push(end.finish(++this.#sequence));
    this.#send(messages);
    this.#awaitAll(requests, first);
  }

  #acknowledged({ message }: NamedRequest): Buffer {
    return message.addFlags(messageFlag.acknowledge).finish(++this.#sequence);
  }

  #awaitAll(requests: readonly NamedRequest[], first: number): void {
    let failure: LinuxError | undefined;
    for (let pending = requests.length; pending > 0; ) {
      for (const answer of this.#receive()) {
        if (answer.type !== NLMSG_ERROR) continue;
        const request = requests[answer.sequence - first];
        // Refused as a whole: the answer is to the message that begins the transaction.
        if (request === undefined)
          throw linuxError("netlink", -answer.payload.readInt32LE(0), requests[0]?.act);
        pending -= 1;
        const error = failureOf(answer, request);
        if (error !== undefined && request.tolerated?.includes(error.code) !== true) failure ??= error;
      }
    }
    if (failure !== undefined) throw failure;
  }

  /** Asks for one object. Undefined when the kernel says that there is none (ENODEV, ENOENT). */
  get(request: NamedRequest): Buffer | undefined {
    this.#send([request.message.finish(++this.#sequence)]);
    for (;;) {
      for (const answer of this.#receive()) {
        if (answer.sequence !== this.#sequence) continue;
        if (answer.type !== NLMSG_ERROR) return Buffer.from(answer.payload);
        const error = failureOf(answer, request);
        if (error === undefined || error.code === "ENODEV" || error.code === "ENOENT") return undefined;
        throw error;
      }
    }
  }

  /** Asks for all objects of a kind; `each` sees one message's payload, valid only during the call. */
  dump(request: NamedRequest, each: (payload: Buffer, type: number) => void): void {
    this.#send([request.message.addFlags(messageFlag.dump).finish(++this.#sequence)]);
    for (;;) {
      for (const answer of this.#receive()) {
        if (answer.sequence !== this.#sequence) continue;
        if (answer.type === NLMSG_ERROR || answer.type === NLMSG_DONE) {
          const error = answer.payload.length >= 4 ? failureOf(answer, request) : undefined;
          if (error !== undefined) throw error;
          return;
        }
        // The list changed while it was read: what is seen is still true, something new may be missing.
        if ((answer.flags & NLM_F_DUMP_INTR) === 0 || answer.payload.length > 0)
          each(answer.payload, answer.type);
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#protocol === "netfilter") closeLater(() => symbols.close(this.#fd));
    else symbols.close(this.#fd);
  }

  #send(messages: Buffer[]): void {
    const bytes = messages.length === 1 && messages[0] !== undefined ? messages[0] : Buffer.concat(messages);
    checkRetrying(() => symbols.send(this.#fd, ptr(bytes), bytes.length, 0), "send", "netlink");
  }

  #receive(): Answer[] {
    this.#received ??= Buffer.allocUnsafeSlow(receiveBufferLength);
    const bytes = this.#received;
    const length = checkRetrying(
      () => symbols.recv(this.#fd, ptr(bytes), bytes.length, 0),
      "recv",
      "netlink",
    );
    if (length === 0) throw new SystemFailure("netlink socket was closed by the kernel");
    const answers: Answer[] = [];
    for (let at = 0; at + headerLength <= length; ) {
      const size = bytes.readUInt32LE(at);
      if (size < headerLength || at + size > length) throw new SystemFailure("malformed netlink answer");
      answers.push({
        type: bytes.readUInt16LE(at + 4),
        flags: bytes.readUInt16LE(at + 6),
        sequence: bytes.readUInt32LE(at + 8),
        payload: bytes.subarray(at + headerLength, at + size),
      });
      at += aligned(size);
    }
    return answers;
  }
}

/** The failure that an NLMSG_ERROR or NLMSG_DONE carries; undefined for an acknowledgement. */
function failureOf(answer: Answer, request: NamedRequest): LinuxError | undefined {
  const errno = -answer.payload.readInt32LE(0);
  if (errno === 0) return undefined;
  const plain = linuxError("netlink", errno, request.act);
  if ((answer.flags & NLM_F_ACK_TLVS) === 0 || answer.type !== NLMSG_ERROR) return plain;
  const original = (answer.flags & NLM_F_CAPPED) === 0 ? answer.payload.readUInt32LE(4) : headerLength;
  const detail = attributeText(
    parseAttributes(answer.payload.subarray(4 + aligned(original))).get(NLMSGERR_ATTR_MSG),
  );
  if (detail === undefined) return plain;
  return new LinuxError("netlink", errno, errnoName(errno), detail, request.act);
}
