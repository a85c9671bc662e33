/** Users and passwords from a file that Apache's `htpasswd -B` writes: one `user:bcrypt` a line. */

import { InvalidParameter } from "../../../core/errors.ts";
import { readFileSync, statSync } from "../../../linux/files.ts";
import { RegistryFailure } from "../failures.ts";
import { type Authenticator, type Grant, unauthorized } from "./access.ts";

/** Milliseconds for which a password that was right need not be hashed again. */
const cacheLife = 5 * 60_000;
const mostCached = 1000;
/** Password checks at once; bcrypt takes a whole core. */
const mostChecks = 2;
const mostWaiting = 100;
/** Checked for users that do not exist, so that the answer takes as long as for others. */
const nobody = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8U4M8DqX7bIYoIuC4x3s8Z7z2b8v3G";
const bcrypt = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/;

interface Users {
  readonly hashes: ReadonlyMap<string, string>;
  /** Identity of the file that they were read from. */
  readonly version: string;
}

/**
 * The file is read again when it changes.
 * @param realm shown to people who are asked for a password
 * @throws InvalidParameter when the file has lines that are no bcrypt entries
 */
export function openHtpasswd(path: string, realm = "davit registry"): Authenticator {
  let users = readUsers(path);
  const checker = new PasswordChecker();
  const challenge = `Basic realm="${realm.replace(/["\\]/g, "")}"`;

  return {
    async authorize(authorization, need): Promise<Grant> {
      const refuse = () => unauthorized(challenge, need);
      const given = credentialsOf(authorization);
      if (given === undefined) throw refuse();
      if (versionOf(path) !== users.version) {
        users = readUsers(path);
        checker.forget();
      }
      const hash = users.hashes.get(given.user);
      const isRight = await checker.check(given, hash ?? nobody);
      if (!isRight || hash === undefined) throw refuse();
      return { user: given.user, allows: () => true };
    },
  };
}

interface Credentials {
  user: string;
  password: string;
}

/** Verifies passwords, a few at a time, and remembers the right ones by a digest under a key of its own. */
class PasswordChecker {
  readonly #key = crypto.getRandomValues(new Uint8Array(32));
  readonly #known = new Map<string, number>();
  readonly #pending = new Map<string, Promise<boolean>>();
  readonly #queue: (() => void)[] = [];
  #active = 0;

  forget(): void {
    this.#known.clear();
  }

  async check({ user, password }: Credentials, hash: string): Promise<boolean> {
    const proof = new Bun.CryptoHasher("sha256", this.#key)
      .update(JSON.stringify([user, password, hash]))
      .digest("hex");
    const until = this.#known.get(proof);
    if (until !== undefined && until > Date.now()) return true;
    this.#known.delete(proof);
    // Many connections of one client begin with the same question.
    let pending = this.#pending.get(proof);
    if (pending === undefined) {
      pending = this.#verify(password, hash).finally(() => this.#pending.delete(proof));
      this.#pending.set(proof, pending);
    }
    if (!(await pending)) return false;
    const oldest = this.#known.size >= mostCached ? this.#known.keys().next().value : undefined;
    if (oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(proof, Date.now() + cacheLife);
    return true;
  }

  async #verify(password: string, hash: string): Promise<boolean> {
    if (this.#active >= mostChecks) {
      if (this.#queue.length >= mostWaiting) {
        throw new RegistryFailure("TOOMANYREQUESTS", "too many logins at once");
      }
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    }
    this.#active += 1;
    try {
      // Apache writes $2y$, which is what others call $2b$.
      return await Bun.password.verify(password, hash.replace(/^\$2y\$/, "$2b$"));
    } finally {
      this.#active -= 1;
      this.#queue.shift()?.();
    }
  }
}

/** Of a Basic Authorization header. */
function credentialsOf(authorization: string | undefined): Credentials | undefined {
  const encoded = /^basic +([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  // bcrypt stops at a NUL and at 72 bytes; an empty password is refused by Bun.
  if (colon < 1 || text.includes("\0") || colon === text.length - 1) return undefined;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

function readUsers(path: string): Users {
  const version = versionOf(path);
  const hashes = new Map<string, string>();
  for (const [index, line] of readFileSync(path, "utf8").split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const hash = line.slice(colon + 1).trim();
    if (colon < 1 || !bcrypt.test(hash)) {
      throw new InvalidParameter(
        `${path}: line ${index + 1} is not user:bcrypt (make it with: htpasswd -B ${path} USER)`,
      );
    }
    hashes.set(line.slice(0, colon), hash);
  }
  return { hashes, version };
}

function versionOf(path: string): string {
  const { ino, mtimeMs, size } = statSync(path);
  return `${ino} ${mtimeMs} ${size}`;
}
