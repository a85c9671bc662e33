/**
 * The mode of our own terminal. termios(3), ioctl_tty(2).
 * Node's raw mode keeps output processing on, which would turn the line feeds that a container's own terminal has
 * already processed into carriage return and line feed once more.
 */
import { check, ptr, symbols } from "./libc.ts";

const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TIOCGWINSZ = 0x5413;
/** The kernel's struct termios: four 32-bit words of flags, the line discipline, 19 control characters. */
const sizeOfTermios = 36;
const [iflag, oflag, cflag, lflag] = [0, 4, 8, 12];
const controlCharacters = 17;
const [VTIME, VMIN] = [5, 6];

/** As cfmakeraw(3) clears them. */
const inputFlags = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000; // IGNBRK … ICRNL, IXON
const outputFlags = 0o1; // OPOST
const localFlags = 0o10 | 0o100 | 0o2 | 0o1 | 0o100000; // ECHO, ECHONL, ICANON, ISIG, IEXTEN
const echo = 0o10;
const sizeAndParity = 0o60 | 0o400; // CSIZE, PARENB
const eightBits = 0o60; // CS8

const POLLOUT = 4;

/** True when a write of at most PIPE_BUF (4096) bytes would not wait. poll(2), pipe(7). */
export function isWritable(fd: number): boolean {
  const request = Buffer.alloc(8);
  request.writeInt32LE(fd, 0);
  request.writeInt16LE(POLLOUT, 4);
  return symbols.poll(ptr(request), 1, 0) > 0 && (request.readInt16LE(6) & POLLOUT) !== 0;
}

/**
 * Puts the terminal on `fd` into raw mode.
 * @returns what puts it back as it was.
 * @throws LinuxError ENOTTY
 */
export function makeRaw(fd: number): () => void {
  const before = Buffer.alloc(sizeOfTermios);
  check(symbols.ioctl(fd, TCGETS, ptr(before)), "ioctl TCGETS");
  const raw = Buffer.from(before);
  clear(raw, iflag, inputFlags);
  clear(raw, oflag, outputFlags);
  clear(raw, lflag, localFlags);
  clear(raw, cflag, sizeAndParity);
  raw.writeUInt32LE((raw.readUInt32LE(cflag) | eightBits) >>> 0, cflag);
  raw[controlCharacters + VMIN] = 1;
  raw[controlCharacters + VTIME] = 0;
  check(symbols.ioctl(fd, TCSETS, ptr(raw)), "ioctl TCSETS");
  return () => {
    check(symbols.ioctl(fd, TCSETS, ptr(before)), "ioctl TCSETS");
  };
}

/**
 * The terminal on `fd` no longer shows what is typed. Line editing and signals go on.
 * @returns what puts it back as it was.
 * @throws LinuxError ENOTTY
 */
export function hideTyping(fd: number): () => void {
  const before = Buffer.alloc(sizeOfTermios);
  check(symbols.ioctl(fd, TCGETS, ptr(before)), "ioctl TCGETS");
  const hidden = Buffer.from(before);
  clear(hidden, lflag, echo);
  check(symbols.ioctl(fd, TCSETS, ptr(hidden)), "ioctl TCSETS");
  return () => {
    check(symbols.ioctl(fd, TCSETS, ptr(before)), "ioctl TCSETS");
  };
}

/** Whether `fd` is a terminal. Costs one call; Node's own way loads 8 ms of modules first. */
export function isTerminal(fd: number): boolean {
  return symbols.ioctl(fd, TCGETS, ptr(Buffer.alloc(sizeOfTermios))) === 0;
}

/**
 * Columns and rows of the terminal on `fd`; zeros when nobody has set them.
 * @throws LinuxError ENOTTY
 */
export function terminalSize(fd: number): { width: number; height: number } {
  const size = Buffer.alloc(8);
  check(symbols.ioctl(fd, TIOCGWINSZ, ptr(size)), "ioctl TIOCGWINSZ");
  return { width: size.readUInt16LE(2), height: size.readUInt16LE(0) };
}

function clear(termios: Buffer, offset: number, flags: number): void {
  termios.writeUInt32LE((termios.readUInt32LE(offset) & ~flags) >>> 0, offset);
}
