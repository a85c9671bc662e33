/** The server's certificate and key in files, which are renewed while it serves. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { InvalidParameter, messageOf } from "../../core/errors.ts";
import { readFileSync, statSync } from "../../linux/files.ts";

/** PEM texts. */
export interface KeyPair {
  cert: string;
  key: string;
}

export interface KeyPairFiles {
  certFile: string;
  keyFile: string;
}

/** Looks whether two files have changed. */
export class WatchedKeyPair {
  readonly #files: KeyPairFiles;
  #version: string;

  /** @throws InvalidParameter when the files hold no certificate and its key */
  constructor(files: KeyPairFiles) {
    this.#files = files;
    this.#version = versionOf(files);
  }

  /** @throws InvalidParameter, and what reading a file throws */
  read(): KeyPair {
    const { certFile, keyFile } = this.#files;
    const pair = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
    checkPair(pair, this.#files);
    return pair;
  }

  /**
   * The files' content, when it is another one than at the last call.
   * @throws InvalidParameter for files that do not belong together: one may have been written and the other not yet.
   *   Then the next call looks again.
   */
  changed(): KeyPair | undefined {
    const version = versionOf(this.#files);
    if (version === this.#version) return undefined;
    const pair = this.read();
    this.#version = version;
    return pair;
  }
}

/** Renamed files and changed links count, too. */
function versionOf({ certFile, keyFile }: KeyPairFiles): string {
  return [certFile, keyFile]
    .map((path) => {
      const { dev, ino, size, mtimeNs } = statSync(path);
      return [dev, ino, size, mtimeNs].join(":");
    })
    .join(" ");
}

function checkPair({ cert, key }: KeyPair, { certFile, keyFile }: KeyPairFiles): void {
  let isPair: boolean;
  try {
    isPair = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw new InvalidParameter(`${certFile} and ${keyFile}: ${messageOf(error)}`, { cause: error });
  }
  if (!isPair) throw new InvalidParameter(`${keyFile} is not the key of the certificate in ${certFile}`);
}
