/** A tar maker of the tests' own, so that reading is not tested against its own mirror image. */

export interface TarFile {
  name: string;
  data?: Uint8Array | string;
  /** `5` directory, `2` symlink, `1` hard link; a file by default. */
  type?: "0" | "1" | "2" | "5";
  link?: string;
  mode?: number;
}

export function tar(files: readonly TarFile[]): Buffer {
  const parts = files.flatMap((file) => {
    const data = Buffer.from(file.data ?? "");
    return [tarHeader(file, data.length), data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export function tarHeader(file: TarFile, size: number): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
  header.write(file.name, 0, 100);
  octal(file.mode ?? (file.type === "5" ? 0o755 : 0o644), 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(1_600_000_000, 136, 12);
  header.write(file.type ?? "0", 156);
  header.write(file.link ?? "", 157, 100);
  header.write("ustar\0" + "00", 257);
  header.fill(" ", 148, 156);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return header;
}
