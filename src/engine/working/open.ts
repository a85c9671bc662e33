/**
 * Finding, locking and mounting working containers. A container's lock is the file `<exec root>/locks/working-<id>`:
 * shared by those who run programs in it or copy into it, alone for who commits or removes it. It is the outermost of
 * all locks. The last to let go of it unmounts the container, unless a person has mounted it.
 */

import type { Missing } from "../../build/steps/stubs.ts";
import { Conflict, InvalidParameter, NotFound } from "../../core/errors.ts";
import type { ContainerId } from "../../core/ids.ts";
import type { Instance } from "../../core/instance.ts";
import { join } from "../../core/paths.ts";
import { rmSync } from "../../linux/files.ts";
import { closeLockFile, openLockFile, tryLock } from "../../linux/flock.ts";
import type { State } from "../../state/state.ts";
import {
  updateWorking,
  type WorkingRecord,
  type WorkingStub,
  workingById,
  workingByName,
  workingByPrefix,
  workingSnapshot,
} from "../../state/working-containers.ts";
import type { Local } from "../local/local.ts";

/** @throws InvalidParameter in Buildah's words for what is no name */
export function checkName(name: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(name)) return name;
  throw new InvalidParameter(
    `container name ${JSON.stringify(name)}: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*`,
  );
}

/** @throws NotFound in Buildah's words; InvalidParameter when a prefix fits several */
export function findWorking(state: State, reference: string): WorkingRecord {
  const found =
    workingById(state, reference) ?? workingByName(state, reference) ?? byPrefix(state, reference);
  if (found?.state.status !== "made") throw new NotFound("container not known");
  return found;
}

function byPrefix(state: State, reference: string): WorkingRecord | undefined {
  if (!/^[0-9a-f]{1,64}$/.test(reference)) return undefined;
  const [first, second] = workingByPrefix(state, reference);
  if (second !== undefined)
    throw new InvalidParameter(`Multiple IDs found with provided prefix: ${reference}`);
  return first;
}

/** Changes a record as it is now. @throws NotFound when it is gone */
export function changeWorking(
  state: State,
  id: ContainerId,
  change: (record: WorkingRecord) => WorkingRecord,
): WorkingRecord {
  return state.transaction(() => {
    const before = findWorking(state, id);
    const after = change(before);
    updateWorking(state, after);
    return after;
  });
}

export interface OpenOptions {
  /** `either`: alone if nobody else is at work on it. */
  readonly mode: "shared" | "alone" | "either";
  /** Milliseconds to wait for others; without it there is no end. */
  readonly patience?: number;
  readonly signal?: AbortSignal | undefined;
}

/** @throws NotFound; Conflict when others are at work on it for too long */
export async function openWorking(
  local: Local,
  reference: string,
  options: OpenOptions,
): Promise<OpenWorking> {
  const { repairWorking } = await import("./repair.ts");
  await repairWorking(local);
  const { id, name } = findWorking(local.state, reference);
  const lock = new WorkingLock(local.instance, id);
  try {
    const deadline = Date.now() + (options.patience ?? Number.POSITIVE_INFINITY);
    const isAlone = await lock.wait(options, () => {
      if (Date.now() > deadline)
        throw new Conflict(`container ${JSON.stringify(name)} is in use by another process`);
    });
    // Whoever had it may have removed it.
    findWorking(local.state, id);
    const container = new OpenWorking(local, id, lock, isAlone);
    // What a run that was killed has left.
    if (isAlone) await container.clean();
    return container;
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

const longestPause = 32;

export class WorkingLock implements Disposable {
  readonly #path: string;
  readonly #fd: number;

  constructor(instance: Instance, id: ContainerId) {
    this.#path = join(instance.execRoot, "locks", `working-${id}`);
    this.#fd = openLockFile(this.#path);
  }

  [Symbol.dispose](): void {
    closeLockFile(this.#fd);
  }

  /** Also from shared to alone; when that fails, nothing is held any more. */
  takeAlone(): boolean {
    return tryLock(this.#fd, "exclusive", this.#path);
  }

  /** For a container that is gone. */
  removeFile(): void {
    rmSync(this.#path, { force: true });
  }

  /** @returns whether it is held alone. @param check throws to give up */
  async wait({ mode, signal }: OpenOptions, check: () => void): Promise<boolean> {
    for (let pause = 1; ; pause = Math.min(pause * 2, longestPause)) {
      if (mode !== "shared" && this.takeAlone()) return true;
      if (mode !== "alone" && tryLock(this.#fd, "shared", this.#path)) return false;
      signal?.throwIfAborted();
      check();
      await Bun.sleep(pause);
    }
  }
}

/** A container that is locked; disposing of it lets go. */
export class OpenWorking implements AsyncDisposable {
  readonly id: ContainerId;
  readonly isAlone: boolean;
  readonly #local: Local;
  readonly #lock: WorkingLock;

  constructor(local: Local, id: ContainerId, lock: WorkingLock, isAlone: boolean) {
    this.#local = local;
    this.id = id;
    this.#lock = lock;
    this.isAlone = isAlone;
  }

  get record(): WorkingRecord {
    return findWorking(this.#local.state, this.id);
  }

  /** A person has mounted it, and may be changing it. */
  get isMounted(): boolean {
    return this.record.mountedIn === this.#local.bootId;
  }

  /** Where its files are, mounted. */
  root(): Promise<string> {
    // What is not committed need not outlast a power cut: the script that made it has not either.
    return this.#local.snapshots.mount(workingSnapshot(this.id), { volatile: true });
  }

  /** Nobody needs it mounted any more, who is known of. */
  async unmount(): Promise<void> {
    if (!this.isMounted) await this.#local.snapshots.unmount(workingSnapshot(this.id));
  }

  /** Takes away what runtimes have made to mount on it. To be called when no program runs in it. */
  async clean(): Promise<void> {
    const { stubs } = this.record;
    if (stubs.length === 0) return;
    const { removeStubs } = await import("../../build/steps/stubs.ts");
    removeStubs(await this.root(), stubs.map(stubOf));
    this.change((record) => ({ ...record, stubs: [] }));
  }

  change(change: (record: WorkingRecord) => WorkingRecord): WorkingRecord {
    return changeWorking(this.#local.state, this.id, change);
  }

  /** For a container that is gone now. */
  forgetLock(): void {
    this.#lock.removeFile();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      const isLast = this.isAlone || this.#lock.takeAlone();
      const record = workingById(this.#local.state, this.id);
      if (isLast && record?.state.status === "made") {
        await this.clean();
        await this.unmount();
      }
    } finally {
      this.#lock[Symbol.dispose]();
    }
  }
}

function stubOf({ path, above }: WorkingStub): Missing {
  if (above === undefined) return { path, above };
  return { path, above: { path: above.path, atime: BigInt(above.atime), mtime: BigInt(above.mtime) } };
}
