/** `from`: a working container of an image, or of nothing. */
import { Conflict } from "../../core/errors.ts";
import { faultPoint } from "../../core/fault.ts";
import { newContainerId } from "../../core/ids.ts";
import type { Platform } from "../../images/manifest.ts";
import { hostPlatform, parsePlatform } from "../../images/platform.ts";
import { parseReference } from "../../images/references.ts";
import { lock } from "../../state/locks.ts";
import {
  insertWorking,
  updateWorking,
  type WorkingRecord,
  workingByName,
  workingSnapshot,
} from "../../state/working-containers.ts";
import { type Local, timestamp } from "../local/local.ts";
import { type FromRequest, summaryOf, type WorkingSummary } from "../working.ts";
import { type BaseImage, findBase, obtainBase } from "./base-image.ts";
import { checkName } from "./open.ts";
import { repairWorking } from "./repair.ts";

/** @throws Conflict when the name is taken; NotFound, InvalidParameter; what a registry says */
export async function from(local: Local, request: FromRequest): Promise<WorkingSummary> {
  await repairWorking(local);
  const wanted = request.name === "" ? undefined : checkName(request.name);
  if (wanted !== undefined) checkFree(local, wanted);
  const name = request.image === "scratch" ? undefined : await obtainBase(local, request);
  const { signal } = request;
  using _images = await lock(local.instance, "images", {
    mode: "shared",
    ...(signal === undefined ? {} : { signal }),
  });
  const base = name === undefined ? undefined : findBase(local, name, platformOf(request));
  const record = insert(local, request, base, wanted);
  faultPoint("working:recorded");
  try {
    await local.snapshots.prepare(workingSnapshot(record.id), base?.topChainId);
  } catch (error) {
    const { finishRemoval } = await import("./remove.ts");
    await finishRemoval(local, record.id, { removeFile: () => {} });
    throw error;
  }
  faultPoint("working:prepared");
  updateWorking(local.state, { ...record, state: { status: "made" } });
  return summaryOf(record);
}

function platformOf({ platform }: FromRequest): Platform | undefined {
  return platform === undefined ? undefined : parsePlatform(platform);
}

/** The intent, before anything is made. */
function insert(
  local: Local,
  request: FromRequest,
  base: BaseImage | undefined,
  wanted: string | undefined,
): WorkingRecord {
  const { state } = local;
  return state.transaction(() => {
    if (wanted !== undefined) checkFree(local, wanted);
    const { architecture, os, variant } = platformOf(request) ?? hostPlatform();
    const empty = { architecture, os, ...(variant === undefined ? {} : { variant }), config: {} };
    const record: WorkingRecord = {
      id: newContainerId(),
      name: wanted ?? makeUpName(local, base?.name),
      created: timestamp(),
      state: { status: "making", owner: local.me },
      image: base === undefined ? undefined : { id: base.id, name: base.name, manifest: base.manifest },
      format: request.format,
      config: base?.config ?? empty,
      history: [],
      annotations: base === undefined ? {} : baseAnnotations(base),
      createdBy: "",
      historyComment: "",
      defaults: request.defaults,
      mountedIn: "",
      stubs: [],
    };
    insertWorking(state, record);
    return record;
  });
}

/** OCI image-spec, annotations.md: what an image was built on. */
function baseAnnotations({ name, manifest, annotations }: BaseImage): Record<string, string> {
  return {
    ...annotations,
    "org.opencontainers.image.base.digest": manifest,
    "org.opencontainers.image.base.name": name,
  };
}

/** @throws Conflict in Buildah's words */
function checkFree({ state }: Local, name: string): void {
  const taken = workingByName(state, name);
  if (taken === undefined) return;
  throw new Conflict(
    `creating container: the container name ${JSON.stringify(name)} is already in use by ${taken.id}. ` +
      "You have to remove that container to be able to reuse that name: that name is already in use",
  );
}

/** `busybox-working-container`, or `-1`, `-2` behind it. */
function makeUpName({ state }: Local, image: string | undefined): string {
  const base = image === undefined ? "working-container" : `${stemOf(image)}-working-container`;
  for (let count = 0; ; count += 1) {
    const name = count === 0 ? base : `${base}-${count}`;
    if (workingByName(state, name) === undefined) return name;
  }
}

/** The last part of an image's name; the beginning of an id. */
function stemOf(name: string): string {
  if (/^[0-9a-f]{64}$/.test(name)) return name.slice(0, 12);
  return parseReference(name).path.split("/").at(-1) ?? "image";
}
