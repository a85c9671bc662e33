/**
 * The mode of our own terminal. termios(3), ioctl_tty(2).
 * Node's raw mode keeps output processing on, which would turn the line feeds that a container's own terminal has
 * already processed into carriage return and line feed once more.
 */
import { check, ptr, symbols } from "./libc.ts";

const TCGETS = 0x5401;
const TCSETS = 0x5402;
/** The kernel's struct termios: four 32-bit words of flags, the line discipline, 19 control characters. */
const sizeOfTermios = 36;
const [iflag, oflag, cflag, lflag] = [0, 4, 8, 12];
const controlCharacters = 17;
const [VTIME, VMIN] = [5, 6];

/** As cfmakeraw(3) clears them. */
const inputFlags = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000; // IGNBRK … ICRNL, IXON
const outputFlags = 0o1; // OPOST
const localFlags = 0o10 | 0o100 | 0o2 | 0o1 | 0o100000; // ECHO, ECHONL, ICANON, ISIG, IEXTEN
const sizeAndParity = 0o60 | 0o400; // CSIZE, PARENB
const eightBits = 0o60; // CS8

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

function clear(termios: Buffer, offset: number, flags: number): void {
  termios.writeUInt32LE((termios.readUInt32LE(offset) & ~flags) >>> 0, offset);
}
